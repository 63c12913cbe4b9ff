"""What plugins bring is made by their code: whatever that does, its caller sees a RaydpWrapError or the thing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from raydp_wrap.errors import PluginError, RaydpWrapError
from raydp_wrap.plugins.limited import call
from raydp_wrap.plugins.words import said

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Brought", "in_time", "right_here"]


class Brought(NamedTuple):
    """What PLUGIN brings under a name: ``make`` makes it."""

    plugin: str
    make: Callable[..., object]


def right_here(what: str, brought: Brought, kind: type) -> Callable[..., Any]:
    """What makes WHAT, a KIND, in the thread that calls it."""

    def make(*given: object) -> object:
        try:
            made = brought.make(*given)
        except RaydpWrapError:
            raise
        except (Exception, SystemExit) as error:
            raise PluginError(f"{what} of plugin {brought.plugin!r} can't be made: {said(error)}") from error
        return _checked(made, what, brought, kind)

    return make


def in_time(what: str, brought: Brought, kind: type, limit: float) -> Callable[..., Any]:
    """What makes WHAT, a KIND, within LIMIT seconds. What it is made of may hold a secret: no words are passed on."""

    def make(*given: object) -> object:
        called = call(lambda: [brought.make(*given)], limit)
        if called.value is not None:
            return _checked(called.value[0], what, brought, kind)
        if isinstance(called.error, RaydpWrapError):
            raise called.error
        why = type(called.error).__name__ if called.error is not None else f"it takes more than {limit:g} s"
        raise PluginError(f"{what} of plugin {brought.plugin!r} can't be made: {why}") from called.error

    return make


def _checked(made: object, what: str, brought: Brought, kind: type) -> object:
    if not isinstance(made, kind):
        raise PluginError(f"{what} of plugin {brought.plugin!r} is {type(made).__name__}, not a {kind.__name__}")
    return made
