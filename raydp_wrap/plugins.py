"""The one PluginManager: finds plugins by entry point, and lets a broken one break nothing else."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pluggy

from raydp_wrap import hookspecs
from raydp_wrap.errors import PluginError, RaydpWrapError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from raydp_wrap.model import Launch

__all__ = ["build_launch", "load"]

ENTRY_POINT_GROUP = "raydp_wrap"


def load() -> pluggy.PluginManager:
    """Load every installed plugin; one that fails to import is named in a warning and skipped."""
    from importlib.metadata import entry_points  # noqa: PLC0415 - 10 ms, and only this needs it

    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        try:
            manager.register(entry.load(), entry.name)
        except Exception as error:  # noqa: BLE001 - a plugin may fail in any way, and must break nothing
            print(f"raydp-wrap: plugin {entry.name!r} is skipped: {error!r}", file=sys.stderr)  # noqa: T201
    return manager


def build_launch(tool: str, argv: Sequence[str], env: Mapping[str, str]) -> Launch:
    """Ask the plugins how TOOL is executed.

    Raises:
        PluginError: no plugin knows TOOL, or the one that does failed.
        UsageError: the plugin says what is wrong with the request.

    """
    manager = load()
    try:
        launch: Launch | None = manager.hook.raydp_wrap_build_launch(tool=tool, argv=argv, env=env)
    except RaydpWrapError:
        raise
    except Exception as error:
        raise PluginError(f"the plugin for {tool} failed: {error!r}") from error
    if launch is None:
        raise PluginError(f"no installed plugin knows {tool}: pip install raydp-wrap-spark, and try again")
    return launch
