"""What plugins bring is made, and asked, by their code: its caller sees a RaydpWrapError, or what it wants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from raydp_wrap.errors import PluginError, RaydpWrapError, UsageError
from raydp_wrap.plugins.limited import call
from raydp_wrap.plugins.words import said

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LIMIT", "Brought", "asked", "in_time", "right_here"]

T = TypeVar("T")

#: How long a sink that a plugin brought may take to check itself, or to tell its text, in seconds.
LIMIT = 5.0


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
        trouble = f"{what} of plugin {brought.plugin!r} can't be made"
        return _checked(asked(trouble, lambda: brought.make(*given), limit), what, brought, kind)

    return make


def asked(trouble: str, function: Callable[[], T], limit: float = LIMIT) -> T:
    """What FUNCTION, a plugin's, answers within LIMIT seconds; TROUBLE is what its failure means.

    What it works with may hold a secret: of its errors only a RaydpWrapError's words are passed on.

    Raises:
        UsageError: it says what is wrong with the request.
        PluginError: it failed, or its time is up.

    """
    called = call(lambda: [function()], limit)
    if called.value is not None:
        return called.value[0]
    if isinstance(called.error, RaydpWrapError):
        # Not the error itself: its class may be the plugin's own, with an exit code of 0.
        kind = PluginError if isinstance(called.error, PluginError) else UsageError
        raise kind(called.says) from called.error
    why = type(called.error).__name__ if called.error is not None else f"it takes more than {limit:g} s"
    raise PluginError(f"{trouble}: {why}") from called.error


def _checked(made: object, what: str, brought: Brought, kind: type) -> object:
    if not isinstance(made, kind):
        raise PluginError(f"{what} of plugin {brought.plugin!r} is {type(made).__name__}, not a {kind.__name__}")
    return made
