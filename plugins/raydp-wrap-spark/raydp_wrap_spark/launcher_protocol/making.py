"""Whether an attempt gets a launcher's watch, and with which settings."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from raydp_wrap_spark import settings
from raydp_wrap_spark.launcher_protocol.server import LauncherServer
from raydp_wrap_spark.launcher_protocol.watch import PORT, SECRET, LauncherWatch
from raydp_wrap_spark.names import MAIN_CLASS
from raydp_wrap_spark.options import Options
from raydp_wrap_spark.properties import configured

if TYPE_CHECKING:
    from collections.abc import Mapping

    from raydp_wrap.model import Launch, Submission

__all__ = ["launcher_watch"]

_SCRIPTS: Final = (".py", ".R", "pyspark-shell", "sparkr-shell")
_RUNNERS: Final = ("org.apache.spark.deploy.PythonRunner", "org.apache.spark.deploy.RRunner")
_CONFS: Final = ("spark.launcher.port", "spark.launcher.secret")


def launcher_watch(submission: Submission, launch: Launch) -> LauncherWatch | None:  # noqa: ARG001 - as hooks are called
    """A watch over LAUNCH, or None: it starts no SparkSubmit, has a launcher already, or wants or can have none.

    Raises:
        UsageError: a setting is wrong.

    """
    env = os.environ if launch.env is None else launch.env
    stop_timeout = settings.launcher_stop_timeout(env, launch.settings)
    exit_timeout = settings.exit_timeout(env, launch.settings)
    wanted = settings.launcher(env, launch.settings) and MAIN_CLASS in launch.argv
    if not wanted or _has_launcher(launch, env):
        return None
    try:
        server = LauncherServer()
    except OSError:
        return None  # the job runs all the same
    scripted = _is_scripted(_options(launch))
    return LauncherWatch(launch, server, stop_timeout=stop_timeout, exit_timeout=exit_timeout, scripted=scripted)


def _options(launch: Launch) -> Options:
    return Options(launch.argv[launch.argv.index(MAIN_CLASS) + 1 :])


def _is_scripted(options: Options) -> bool:
    """Whether the JVM starts the application, in Python or R, as a process of its own."""
    return (options.resource or "").endswith(_SCRIPTS) or options.value("--class") in _RUNNERS


def _has_launcher(launch: Launch, env: Mapping[str, str]) -> bool:
    if env.get(PORT) or env.get(SECRET):
        return True
    at = launch.argv.index(MAIN_CLASS)
    options = _options(launch)
    named = {**(configured(options, env) if env.get("SPARK_HOME") else {}), **options.confs}
    words = (*launch.argv[:at], options.value("--driver-java-options") or "")
    return any(conf in named or any(f"-D{conf}=" in word for word in words) for conf in _CONFS)
