"""The plugin's own settings: a wrong one is refused before anything is started."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from raydp_wrap.settings import seconds, switch

from raydp_wrap_spark.properties import wrapper_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from raydp_wrap_spark.options import Options

__all__ = ["CLUSTER_TIMEOUT", "checked", "cluster_timeout", "exit_timeout", "launcher", "launcher_stop_timeout"]

CLUSTER_TIMEOUT: Final = 15.0
# The hook that ends what runs elsewhere has 30 s.
_LONGEST_CLUSTER_TIMEOUT = 25.0


def launcher(env: Mapping[str, str], settings: Mapping[str, str]) -> bool:
    """Whether to listen to the driver. Raises UsageError, as all of these do."""
    return switch("launcher", env, settings, default=True)


def launcher_stop_timeout(env: Mapping[str, str], settings: Mapping[str, str]) -> float:
    """How many seconds a driver is left to heed a polite stop."""
    return seconds("launcher.stop.timeout", env, settings, 3.0)


def exit_timeout(env: Mapping[str, str], settings: Mapping[str, str]) -> float:
    """How many seconds a JVM is left whose application is done; 0: for ever."""
    return seconds("exit.timeout", env, settings, 60.0)


def cluster_timeout(env: Mapping[str, str], settings: Mapping[str, str]) -> float:
    """How many seconds a cluster has to end a driver."""
    return min(seconds("cluster.timeout", env, settings, CLUSTER_TIMEOUT), _LONGEST_CLUSTER_TIMEOUT)


def checked(options: Options, env: Mapping[str, str]) -> dict[str, str]:
    """The wrapper's settings that OPTIONS and properties files hold, each of ours one that can be obeyed.

    Raises:
        UsageError: one can't be; the message names it, and says what it may be.

    """
    settings = wrapper_settings(options, env)
    for look in (launcher, launcher_stop_timeout, exit_timeout, cluster_timeout):
        look(env, settings)
    return settings
