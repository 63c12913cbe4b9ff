"""The application that ``benchmarks.spark`` runs: a session, one query, and when each was done."""

from __future__ import annotations

import json
import os
import time

began = time.time()

from pyspark.sql import SparkSession  # noqa: E402 - that it takes its time is what is measured
from pyspark.sql import functions as F  # noqa: E402, N812 - the same; as everybody does

stamps = [began, time.time()]
spark = SparkSession.builder.appName("small").getOrCreate()
stamps.append(time.time())
lines = spark.createDataFrame([("to be or not to be that is the question",), ("whether tis nobler",)] * 50, ["line"])
words = lines.select(F.explode(F.split("line", " ")).alias("word")).groupBy("word").count()
rows = words.orderBy(F.desc("count"), "word").collect()
stamps.append(time.time())
runtime = spark._jvm.java.lang.management.ManagementFactory.getRuntimeMXBean()
asking = time.time()
jvm_began = runtime.getStartTime() / 1000
# To ask for it is no part of stopping.
asked = time.time() - asking
spark.stop()
stamps.append(time.time() - asked)
if rows[0]["count"] != 100:
    raise SystemExit(f"the counts are wrong: {rows[:3]}")
with open(os.environ["STAMPS"], "w", encoding="utf-8") as file:
    json.dump([jvm_began, *stamps], file)
