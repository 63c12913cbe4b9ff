"""The environment Spark is started in: SPARK_HOME, spark-env.sh, and what Spark's scripts export."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from raydp_wrap.process import Process

from raydp_wrap_spark.errors import SubmitEndedError
from raydp_wrap_spark.home import find_spark_home
from raydp_wrap_spark.names import MAIN_CLASS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["spark_environment"]

_FD = 63
# spark-env.sh is shell code, so it takes a shell: everything it sets is exported, and what it prints goes
# where the user expects it.
_SOURCE = f'set -a; . "$SPARK_CONF_DIR/spark-env.sh"; set +a; env -0 >&{_FD}'
_SCALA_VERSIONS = ("2.13", "2.12")


def spark_environment(argv: Sequence[str], env: Mapping[str, str]) -> dict[str, str]:
    """ENV with everything that ``spark-submit ARGV`` would export to the driver.

    Raises:
        SparkNotFoundError: there is no Spark.
        SubmitEndedError: spark-env.sh exited.

    """
    full = {**env, **find_spark_home(env), "PYTHONHASHSEED": "0"}
    if not full.get("SPARK_ENV_LOADED"):
        full["SPARK_ENV_LOADED"] = "1"
        full["SPARK_CONF_DIR"] = full.get("SPARK_CONF_DIR") or f"{full['SPARK_HOME']}/conf"
        if Path(full["SPARK_CONF_DIR"], "spark-env.sh").is_file():
            full = {"SPARK_HOME": full["SPARK_HOME"], **_source(argv, full)}
    full["SPARK_SCALA_VERSION"] = _scala_version(full)
    if full.get("SPARK_TESTING"):
        full.pop("YARN_CONF_DIR", None)
        full.pop("HADOOP_CONF_DIR", None)
    return full


def _source(argv: Sequence[str], env: Mapping[str, str]) -> dict[str, str]:
    # $0 and $@ are what spark-env.sh sees when spark-class sources it. A file in memory takes any amount
    # without a reader, unlike a pipe, and stays empty if the script exits.
    fd = os.memfd_create("spark-env")
    try:
        with Process(
            ["bash", "-c", _SOURCE, f"{env['SPARK_HOME']}/bin/spark-class", MAIN_CLASS, *argv],
            env=env,
            fds={_FD: fd},
            death_signal=signal.SIGKILL,
        ) as bash:
            code = bash.wait()
        os.lseek(fd, 0, os.SEEK_SET)
        with os.fdopen(fd, "rb", closefd=False) as file:
            pairs = file.read().split(b"\0")
    finally:
        os.close(fd)
    if not pairs[0]:
        raise SubmitEndedError(code if code >= 0 else 128 - code)
    loaded = {name: value for name, _, value in (os.fsdecode(pair).partition("=") for pair in pairs[:-1])}
    # The shell's own, about itself.
    for name in ("_", "SHLVL"):
        loaded.pop(name, None)
        if name in env:
            loaded[name] = env[name]
    return loaded


def _scala_version(env: Mapping[str, str]) -> str:
    # A released Spark has it in the names of its jars, a source tree in the names of its directories.
    home = Path(env["SPARK_HOME"])
    for version in _SCALA_VERSIONS:
        if any(home.glob(f"jars/spark-launcher_{version}-*.jar")):
            return version
    for version in _SCALA_VERSIONS:
        if Path(home, "assembly", "target", f"scala-{version}").is_dir():
            return env.get("SPARK_SCALA_VERSION") or version
    return env.get("SPARK_SCALA_VERSION") or _SCALA_VERSIONS[0]
