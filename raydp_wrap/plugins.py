"""The one PluginManager: finds plugins by entry point, and lets a broken one break nothing else."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pluggy

from raydp_wrap import hookspecs
from raydp_wrap.errors import PluginError, RaydpWrapError
from raydp_wrap.model import Launch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["build_launch", "load"]

ENTRY_POINT_GROUP = "raydp_wrap"


def load() -> pluggy.PluginManager:
    """Load every installed plugin; one that fails to import is named in a warning and skipped."""
    manager, skipped = _load()
    _warn(skipped)
    return manager


def _load() -> tuple[pluggy.PluginManager, list[str]]:
    """Every plugin that can be loaded, and a sentence on each that can't."""
    from importlib.metadata import entry_points  # noqa: PLC0415 - 10 ms, and only this needs it

    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    skipped = []
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        try:
            manager.register(entry.load(), entry.name)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - it may fail in any way, and must break nothing
            skipped.append(f"plugin {entry.name!r} is skipped: {error!r}")
    return manager, skipped


def _warn(skipped: Sequence[str]) -> None:
    if sys.stderr is not None:
        for sentence in skipped:
            print(f"raydp-wrap: {sentence}", file=sys.stderr)  # noqa: T201


def build_launch(tool: str, argv: Sequence[str], env: Mapping[str, str]) -> Launch:
    """Ask the plugins how TOOL is executed.

    Raises:
        PluginError: no plugin knows TOOL, or the one that does failed.
        UsageError: the plugin says what is wrong with the request.

    """
    manager, skipped = _load()
    try:
        launch: object = manager.hook.raydp_wrap_build_launch(tool=tool, argv=argv, env=env)
    except RaydpWrapError:
        raise
    except (Exception, SystemExit) as error:
        raise PluginError(f"the plugin for {tool} failed: {error!r}") from error
    if launch is None:
        if skipped:
            raise PluginError(f"no plugin that works knows {tool}: {'; '.join(skipped)}")
        raise PluginError(f"no installed plugin knows {tool}: pip install raydp-wrap-spark, and try again")
    if not isinstance(launch, Launch):
        raise PluginError(f"the plugin for {tool} failed: it answered with {type(launch).__name__}, not with a Launch")
    _warn(skipped)
    return launch
