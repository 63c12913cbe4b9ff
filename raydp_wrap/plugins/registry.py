"""The one PluginManager: loads the plugins that are wanted, and lets a broken one break nothing else."""

from __future__ import annotations

import os
import re
from enum import Enum
from typing import TYPE_CHECKING, Any

from raydp_wrap.plugins import choice, discovery
from raydp_wrap.plugins.limited import call
from raydp_wrap.plugins.words import said

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    import pluggy

    from raydp_wrap.plugins.discovery import EntryPoint

__all__ = ["IMPORT_LIMIT", "Plugin", "Registry", "State"]

#: How long the import of one plugin may take, in seconds.
IMPORT_LIMIT = 10.0
_OBJECT = r"([\w.]+)\s*(?::\s*([\w.]+))?\s*(?:\[.*\])?"


class State(Enum):
    """What became of an installed plugin."""

    LOADED = "loaded"
    SKIPPED = "skipped"
    LEFT_OUT = "left out"


class Plugin:
    """One entry point: its ``state``, and the ``problem`` that is the reason for it.

    ``file`` is where its module lies; ``hooks`` are those it implements, sorted. ``hangs`` once one of its hooks
    did not come back: it is not called again.
    """

    def __init__(self, entry: EntryPoint) -> None:
        self.entry = entry
        self.name = entry.name
        self.state = State.LOADED
        self.problem = ""
        self.file: str | None = None
        self.hooks: Sequence[str] = ()
        self.hangs = False
        self.object: object = None


class _RefusedError(Exception):
    """Why a plugin is not loaded, in words for the user."""


class Registry:
    """The plugins of one process. Each import may take LIMIT seconds.

    ``plugins`` are all that are installed. ``problems`` are sentences on what is wrong, each to be told once;
    ``broken`` and ``missing`` are those on metadata, and on what was picked and isn't installed. ``brought`` is
    what the plugins bring, by hook and name, once it was asked for.
    """

    def __init__(self, limit: float = IMPORT_LIMIT) -> None:
        self.plugins: list[Plugin] = []
        self.problems: list[str] = []
        self.broken: list[str] = []
        self.missing: list[str] = []
        self.brought: dict[str, dict[str, Any]] = {}
        self._limit = limit
        self._manager: pluggy.PluginManager | None = None

    @property
    def loaded(self) -> dict[str, Plugin]:
        """The plugins in use, by name, in the order in which they are called."""
        return {plugin.name: plugin for plugin in self.plugins if plugin.state is State.LOADED}

    def load(self) -> None:
        """Load every plugin that is installed and wanted. Called once.

        Raises:
            UsageError: ``RAYDP_WRAP_PLUGINS`` can't be obeyed.

        """
        wanted = choice.parse(os.environ.get(choice.VARIABLE, ""))
        found, self.broken = discovery.find()
        self.problems += self.broken
        # By name: the order of a directory's entries is no order to rely on.
        for entry in sorted(found, key=lambda entry: entry.name):
            plugin = Plugin(entry)
            self.plugins.append(plugin)
            if not wanted.admits(entry.name):
                plugin.state, plugin.problem = State.LEFT_OUT, f"{choice.VARIABLE} leaves it out"
                continue
            try:
                self._import(plugin)
            except _RefusedError as error:
                plugin.state, plugin.problem = State.SKIPPED, str(error)
        self._register([plugin for plugin in self.plugins if plugin.state is State.LOADED])
        self.problems += [
            f"plugin {plugin.name!r} is skipped: {plugin.problem}"
            for plugin in self.plugins
            if plugin.state is State.SKIPPED
        ]
        if not wanted.blocks:
            missing = sorted(wanted.names - {plugin.name for plugin in self.plugins})
            self.missing = [f"plugin {name!r} is in {choice.VARIABLE} and not installed" for name in missing]
        self.problems += self.missing

    def _import(self, plugin: Plugin) -> None:
        """Import what the plugin's entry point names, and see whether it can be used.

        Raises:
            _RefusedError: it can't.

        """
        for other in self.plugins:
            if other is not plugin and other.name == plugin.name and other.state is State.LOADED:
                raise _RefusedError(f"{_origin(other)} brings one of this name too, and comes first")
        match = re.fullmatch(_OBJECT, plugin.entry.value)
        if match is None:
            raise _RefusedError(f"its entry point {plugin.entry.value!r} names no module")

        called = call(lambda: _load(match[1], match[2]), self._limit)
        if called.error is not None:
            raise _RefusedError(called.says)
        if called.value is None:
            raise _RefusedError(f"its import takes more than {self._limit:g} s")
        plugin.object, plugin.file, api = called.value
        if plugin.object is None:
            raise _RefusedError(f"{plugin.entry.value} is None")
        for other in self.plugins:
            if other is not plugin and other.object is plugin.object:
                raise _RefusedError(f"it is the same object as plugin {other.name!r}")
        _check_api(api)

    def _register(self, plugins: Sequence[Plugin]) -> None:
        if not plugins:
            return
        import pluggy  # noqa: PLC0415 - only who has plugins should pay

        from raydp_wrap import hookspecs  # noqa: PLC0415 - the same

        self._manager = manager = pluggy.PluginManager(hookspecs.PROJECT)
        manager.add_hookspecs(hookspecs)
        # pluggy calls last whoever came first: in this order they are called by name.
        for plugin in reversed(plugins):
            try:
                manager.register(plugin.object, plugin.name)
                plugin.hooks = self._hooks(plugin)
            except Exception as error:  # noqa: BLE001 - an object may have the strangest attributes
                manager.unregister(name=plugin.name)
                known = isinstance(error, (_RefusedError, pluggy.PluginValidationError))
                plugin.state = State.SKIPPED
                plugin.problem = " ".join(str(error).split()) if known else said(error)

    def _hooks(self, plugin: Plugin) -> list[str]:
        """The hooks that PLUGIN implements.

        Raises:
            _RefusedError: it implements one that there isn't, or in a way that we don't call.

        """
        assert self._manager is not None  # noqa: S101 - for mypy
        names = []
        for caller in self._manager.get_hookcallers(plugin.object) or ():
            for implementation in caller.get_hookimpls():
                if implementation.plugin is not plugin.object:
                    continue
                if implementation.wrapper or implementation.hookwrapper:
                    raise _RefusedError(f"it wraps {caller.name}, and hooks are called one by one: wrappers can't be")
                if caller.has_spec():
                    names.append(caller.name)
                elif not implementation.optionalhook:
                    raise _RefusedError(f"it implements {caller.name}, and there is no such hook")
        return sorted(set(names))

    def implementations(self, hook: str) -> list[tuple[Plugin, Callable[..., object], Collection[str]]]:
        """Who implements HOOK, in calling order: the plugin, the function, and the arguments it names."""
        if self._manager is None:
            return []
        plugins = self.loaded
        return [
            (plugins[one.plugin_name], one.function, one.argnames)
            for one in reversed(getattr(self._manager.hook, hook).get_hookimpls())
        ]


def _load(module: str, attributes: str | None) -> tuple[object, str | None, object]:
    """The object, its module's file, and the plugin API it asks for."""
    from importlib import import_module  # noqa: PLC0415 - with the rest of the plugins

    found = imported = import_module(module)
    for attribute in filter(None, (attributes or "").split(".")):
        found = getattr(found, attribute)
    api = getattr(found, "RAYDP_WRAP_API", getattr(imported, "RAYDP_WRAP_API", None))
    return found, getattr(imported, "__file__", None), api


def _check_api(api: object) -> None:
    from raydp_wrap import hookspecs  # noqa: PLC0415 - imports pluggy

    if api is None:
        return
    if not isinstance(api, int):
        raise _RefusedError(f"its RAYDP_WRAP_API is {api!r}, not a number")
    if not 1 <= api <= hookspecs.API:
        raise _RefusedError(f"it asks for plugin API {api}, and this raydp-wrap has {hookspecs.API}: upgrade the older")


def _origin(plugin: Plugin) -> str:
    return os.path.basename(plugin.entry.metadata)
