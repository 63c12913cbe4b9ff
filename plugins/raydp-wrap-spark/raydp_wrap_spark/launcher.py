"""Spark's own launcher: a short-lived JVM that turns spark-submit's arguments into the driver's command."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from raydp_wrap.process import PIPE, Process

from raydp_wrap_spark.arguments import restored
from raydp_wrap_spark.errors import SparkNotFoundError, SubmitEndedError
from raydp_wrap_spark.faststart.answers import question
from raydp_wrap_spark.names import MAIN_CLASS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["build_command"]

_LAUNCHER_CLASS = "org.apache.spark.launcher.Main"
# Alone on a line, before the command: whatever comes before it was printed by the JVM.
_START = b"\0\n"


def build_command(java: str, argv: Sequence[str], env: Mapping[str, str], *, reuse: bool = False) -> list[str]:
    """Return the driver's command for ``spark-submit ARGV``, in the environment ``spark_environment`` made.

    REUSE: if the launcher was asked the same before, its answer is that of then; if it wasn't, it is kept.

    Raises:
        SparkNotFoundError: SPARK_HOME has no jars.
        SubmitEndedError: the launcher failed; what it printed is on stdout and stderr.

    """
    asked = question(java, argv, env) if reuse else None
    if asked is None:
        return _ask(java, argv, env)[0]
    known = asked.recall()
    if known is not None:
        return known
    command, silent = _ask(java, argv, env, listen=True)
    if silent:
        asked.keep(command)
    return command


def _ask(java: str, argv: Sequence[str], env: Mapping[str, str], *, listen: bool = False) -> tuple[list[str], bool]:
    """The launcher's answer, and whether it printed nothing (as far as we LISTEN)."""
    options = env.get("SPARK_LAUNCHER_OPTS", "").split()
    with Process(
        [java, "-Xmx128m", *options, "-cp", _class_path(env), _LAUNCHER_CLASS, MAIN_CLASS, *argv],
        stdout=PIPE,
        stderr=PIPE if listen else None,
        env=env,
        death_signal=signal.SIGKILL,
    ) as launcher:
        output, errors = launcher.communicate()
    said, started, command = output.partition(_START)
    _pass_on(said)
    if errors:
        _write(2, errors)
    if not started:
        raise SubmitEndedError(1)
    if launcher.returncode:
        raise SubmitEndedError(launcher.returncode if launcher.returncode > 0 else 128 - launcher.returncode)
    words = restored(command.split(b"\0")[:-1], [os.fsencode(word) for word in argv])
    if not words:
        raise SubmitEndedError(1)
    return [os.fsdecode(word) for word in words], not said and not errors


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
        _write(1, b"\n".join(lines) + b"\n")


def _write(fd: int, data: bytes) -> None:
    with os.fdopen(fd, "wb", closefd=False) as stream:
        stream.write(data)
