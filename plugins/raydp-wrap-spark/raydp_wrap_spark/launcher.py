"""Spark's own launcher: a short-lived JVM that turns spark-submit's arguments into the driver's command."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from raydp_wrap.process import PIPE, Process

from raydp_wrap_spark.arguments import restored
from raydp_wrap_spark.errors import SparkNotFoundError, SubmitEndedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["MAIN_CLASS", "build_command"]

MAIN_CLASS = "org.apache.spark.deploy.SparkSubmit"
_LAUNCHER_CLASS = "org.apache.spark.launcher.Main"
# Alone on a line, before the command: whatever comes before it was printed by the JVM.
_START = b"\0\n"


def build_command(java: str, argv: Sequence[str], env: Mapping[str, str]) -> list[str]:
    """Return the driver's command for ``spark-submit ARGV``, in the environment ``spark_environment`` made.

    Raises:
        SparkNotFoundError: SPARK_HOME has no jars.
        SubmitEndedError: the launcher failed; what it printed is on stdout and stderr.

    """
    options = env.get("SPARK_LAUNCHER_OPTS", "").split()
    with Process(
        [java, "-Xmx128m", *options, "-cp", _class_path(env), _LAUNCHER_CLASS, MAIN_CLASS, *argv],
        stdout=PIPE,
        env=env,
        death_signal=signal.SIGKILL,
    ) as launcher:
        output, _ = launcher.communicate()
    said, started, command = output.partition(_START)
    _pass_on(said)
    if not started:
        raise SubmitEndedError(1)
    if launcher.returncode:
        raise SubmitEndedError(launcher.returncode if launcher.returncode > 0 else 128 - launcher.returncode)
    words = restored(command.split(b"\0")[:-1], [os.fsencode(word) for word in argv])
    if not words:
        raise SubmitEndedError(1)
    return [os.fsdecode(word) for word in words]


def _class_path(env: Mapping[str, str]) -> str:
    home, scala = env["SPARK_HOME"], env["SPARK_SCALA_VERSION"]
    jars = f"{home}/jars"
    if not Path(jars).is_dir():
        jars = f"{home}/assembly/target/scala-{scala}/jars"
        if not Path(jars).is_dir() and not (env.get("SPARK_TESTING") or env.get("SPARK_SQL_TESTING")):
            error = SparkNotFoundError(
                f"SPARK_HOME is {home!r}, and this Spark has no directory jars: build it, "
                'or pip install "raydp-wrap-spark[pyspark]".'
            )
            error.exit_code = 1
            raise error
    entries = [f"{home}/launcher/target/scala-{scala}/classes"] if env.get("SPARK_PREPEND_CLASSES") else []
    # The launcher's own jar has all its classes: found first, the hundreds of others are not even opened.
    entries += (str(jar) for jar in Path(jars).glob("spark-launcher_*.jar"))
    return ":".join([*entries, f"{jars}/*"])


def _pass_on(said: bytes) -> None:
    # Some JVMs print warnings and fatal errors on stdout; spark-submit shows them there, without blank lines.
    lines = [line for line in said.replace(b"\r", b"").split(b"\n") if line]
    if lines:
        with os.fdopen(1, "wb", closefd=False) as stdout:
            stdout.write(b"\n".join(lines) + b"\n")
