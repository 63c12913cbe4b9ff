"""spark-submit: from its command line to what is executed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raydp_wrap.model import Launch

from raydp_wrap_spark.environment import spark_environment
from raydp_wrap_spark.faststart import equip, is_on, with_compiled
from raydp_wrap_spark.java import find_java, without_missing_module
from raydp_wrap_spark.launcher import build_command
from raydp_wrap_spark.names import MAIN_CLASS
from raydp_wrap_spark.options import Options
from raydp_wrap_spark.settings import checked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["launch_in", "spark_submit"]


def spark_submit(argv: Sequence[str], env: Mapping[str, str]) -> Launch:
    """Return what ``spark-submit ARGV`` executes in ENV.

    Raises:
        SparkNotFoundError, JavaNotFoundError: the message says what to install.
        SubmitEndedError: Spark itself refused, and has said why.
        UsageError: a setting of ours is wrong.

    """
    return launch_in(spark_environment(argv, env), argv)


def launch_in(env: Mapping[str, str], argv: Sequence[str]) -> Launch:
    """Do the rest of :func:`spark_submit`, ENV being :func:`spark_environment`'s. Raises the same."""
    options = Options(argv)
    settings = checked(options, env)
    fast = is_on(env, settings)
    built = build_command(find_java(env), argv, env, reuse=fast)
    command, env = _without_env_command(built, env)
    end = command.index(MAIN_CLASS) if MAIN_CLASS in command else len(command)
    command = without_missing_module(command[:end]) + command[end:]
    command = equip(command, MAIN_CLASS, env, settings)
    if fast:
        env = with_compiled(env, options)
    return Launch(tuple(command), executable=command[0], env=env, settings=settings, name=options.name)


def _without_env_command(command: list[str], env: Mapping[str, str]) -> tuple[list[str], Mapping[str, str]]:
    # The launcher sets variables (LD_LIBRARY_PATH for spark.driver.extraLibraryPath) by a leading
    # `env NAME=VALUE…`; taken over here, Java is the driver's first program and not its second.
    if command[0] != "env":
        return command, env
    start = 1
    while start < len(command) - 1 and "=" in command[start]:
        start += 1
    return command[start:], {**env, **dict(pair.split("=", 1) for pair in command[1:start])}
