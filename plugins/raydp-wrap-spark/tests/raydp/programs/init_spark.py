"""Spark on Ray without raydp-submit: a script that calls ``raydp.init_spark`` and ends with a code of its own."""

from __future__ import annotations

import sys

import ray
import raydp

address, code = sys.argv[1:]
opens = " ".join(
    f"--add-opens=java.base/{package}=ALL-UNNAMED"
    for package in ("java.lang", "java.lang.invoke", "java.net", "java.nio", "java.util", "sun.nio.ch", "sun.nio.cs")
)
ray.init(address=address, logging_level="ERROR")
spark = raydp.init_spark(
    app_name="script",
    num_executors=1,
    executor_cores=1,
    executor_memory="500M",
    configs={f"spark.{part}.extraJavaOptions": opens for part in ("driver", "executor", "ray.raydp_app_master")},
)
sys.stdout.write(f"{spark.range(10).count()}\n")
sys.stdout.flush()
raydp.stop_spark()
sys.exit(int(code))
