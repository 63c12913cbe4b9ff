"""A hook's implementations, called one by one: what one of them does stops no other one, nor us."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from raydp_wrap.plugins.limited import Called, call
from raydp_wrap.plugins.registry import Registry
from raydp_wrap.plugins.words import warn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from raydp_wrap.plugins.registry import Plugin

    Tell = Callable[[str], None]
    Shape = Callable[[Any], tuple[Any, list[str]]]

__all__ = ["LIMIT", "Result", "each", "in_use", "installed", "load", "one_by_one"]

#: How long one implementation of a hook may take, in seconds.
LIMIT = 5.0

_lock = threading.Lock()
_registry: Registry | None = None


class Result(NamedTuple):
    """What the implementation of PLUGIN came to: ``value``, or else ``error``, one line."""

    plugin: str
    value: Any = None
    error: str = ""
    cause: BaseException | None = None


def installed() -> Registry:
    """The plugins of this process, loaded once, and nothing told.

    Raises:
        UsageError: ``RAYDP_WRAP_PLUGINS`` can't be obeyed.

    """
    global _registry  # noqa: PLW0603 - once per process, by contract
    with _lock:
        if _registry is None:
            new = Registry()
            new.load()
            _registry = new
        return _registry


def _after_fork() -> None:
    global _lock  # noqa: PLW0603 - the same lock for all
    _lock = threading.Lock()  # another thread may have held it, and is not in the child


os.register_at_fork(after_in_child=_after_fork)


def in_use() -> bool:
    """Whether any plugin's code has a place in this process."""
    return _registry is not None and bool(_registry.loaded)


def load(tell: Tell = warn) -> Registry:
    """Load the plugins, once per process, and TELL what is wrong with them, once per process.

    Raises:
        UsageError: ``RAYDP_WRAP_PLUGINS`` can't be obeyed.

    """
    found = installed()
    while found.problems:
        tell(found.problems.pop(0))
    return found


def each(hook: str, *, tell: Tell = warn, limit: float = LIMIT, **arguments: object) -> list[Result]:
    """Call every implementation of HOOK, each with the ARGUMENTS it names and LIMIT seconds of time.

    What goes wrong is told, one line each. Blocks its caller; the implementations run in another thread.

    Raises:
        UsageError: ``RAYDP_WRAP_PLUGINS`` can't be obeyed.

    """
    load(tell)
    results = list(one_by_one(hook, arguments, limit=limit))
    for result in results:
        if result.error:
            tell(result.error)
    return results


def one_by_one(
    hook: str,
    arguments: Mapping[str, object],
    *,
    limit: float,
    shape: Shape | None = None,
    own: Callable[[str], Mapping[str, object]] = lambda _: {},
) -> Iterator[Result]:
    """Call HOOK's next implementation, each time that a result is asked for; nothing is told.

    ARGUMENTS are looked at anew for each, and OWN has those that differ by plugin. SHAPE makes of an answer what
    it is good for, and sentences on what it is not; it runs where the implementation does, for an answer may be
    a generator.
    """
    for plugin, function, names in installed().implementations(hook):
        if plugin.hangs:
            continue
        all_of_them = {**arguments, **own(plugin.name)}
        given = [all_of_them[name] for name in names]
        yield from _results(hook, plugin, limit, _call(function, given, shape, limit))


def _call(
    function: Callable[..., object], given: list[object], shape: Shape | None, limit: float
) -> Called[tuple[object, list[str]]]:

    def whole() -> tuple[object, list[str]]:
        answer = function(*given)
        return (answer, []) if shape is None else shape(answer)

    return call(whole, limit)


def _results(hook: str, plugin: Plugin, limit: float, called: Called[tuple[object, list[str]]]) -> Iterator[Result]:
    name = plugin.name
    if called.error is not None:
        yield Result(name, error=f"plugin {name!r} failed in {hook}: {called.says}", cause=called.error)
    elif called.value is None:
        plugin.hangs = True
        yield Result(name, error=f"plugin {name!r} takes more than {limit:g} s in {hook}: it is not asked again")
    else:
        value, problems = called.value
        if value is not None or not problems:
            yield Result(name, value)
        for problem in problems:
            yield Result(name, error=f"plugin {name!r} is not heeded in {hook}: {problem}")
