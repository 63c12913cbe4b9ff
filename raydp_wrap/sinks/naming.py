"""How sinks are named, ``SCHEME:REST``, and what is made of a name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from raydp_wrap.backend import Sink
from raydp_wrap.errors import PluginError, RaydpWrapError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["NamedSink", "canonical", "is_core", "make", "parse", "schemes", "split"]

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]{0,30}")


def _file(rest: str) -> Sink:
    from raydp_wrap.sinks.file import File  # noqa: PLC0415 - only who is named is imported

    return File(rest)


def _webhook(rest: str) -> Sink:
    from raydp_wrap.sinks.webhook import Webhook  # noqa: PLC0415 - the same

    return Webhook(rest)


def _exec(rest: str) -> Sink:
    from raydp_wrap.sinks.command import Command  # noqa: PLC0415 - the same

    return Command(rest)


_CORE: Mapping[str, Callable[[str], Sink]] = {"file": _file, "webhook": _webhook, "exec": _exec}


class NamedSink(NamedTuple):
    """A sink, and the text that named it."""

    text: str
    sink: Sink


def schemes(brought: Iterable[str] = ()) -> tuple[str, ...]:
    """Every scheme that :func:`parse` knows: the core's, then those that plugins bring."""
    return (*_CORE, *sorted(set(brought) - _CORE.keys()))


def parse(text: str, brought: Mapping[str, Callable[[str], Sink]]) -> NamedSink:
    """Make the sink that TEXT names. BROUGHT are the plugins' by scheme; the core's own come first.

    Nothing of TEXT but its scheme is quoted in an error: it may hold a secret.

    Raises:
        UsageError: there is no such scheme, or what follows it makes no sense.
        PluginError: the plugin that brings the scheme failed.

    """
    scheme, colon, rest = text.partition(":")
    if scheme in _CORE and colon:
        return NamedSink(text, _CORE[scheme](rest))
    if scheme in brought and colon:
        return NamedSink(text, _brought(scheme, brought[scheme], rest))
    known = ", ".join(f"{name}:" for name in schemes(brought))
    if scheme in ("http", "https"):
        raise UsageError(f"a sink's name begins with its kind: write webhook:{scheme}:… (known: {known}).")
    if not colon or not _SCHEME.fullmatch(scheme):
        raise UsageError(f"a sink is named KIND:REST, as in file:/tmp/outcome.json, and its kind is one of {known}.")
    raise UsageError(f"there is no kind of sink called {scheme}: it is one of {known}.")


def _brought(scheme: str, factory: Callable[[str], Sink], rest: str) -> Sink:
    try:
        sink: object = factory(rest)
    except RaydpWrapError:
        raise
    except (Exception, SystemExit) as error:
        raise PluginError(f"the plugin for the sink {scheme}: failed with {type(error).__name__}.") from error
    if not isinstance(sink, Sink):
        raise PluginError(f"the plugin for the sink {scheme}: answered with {type(sink).__name__}, not with a Sink.")
    return sink


def is_core(text: str) -> bool:
    """Whether the sink that TEXT names is one of ours, not a plugin's."""
    return text.partition(":")[0] in _CORE


def make(text: str, tell: Callable[[str], None]) -> Sink:
    """Make the sink that TEXT names, the plugins' included, of whose troubles TELL is told. Raises as :func:`parse`."""
    if is_core(text):
        return parse(text, {}).sink
    from raydp_wrap import plugins  # noqa: PLC0415 - only where one of them is in use

    return parse(text, plugins.sinks(tell)).sink


def canonical(text: str, sink: Sink) -> str:
    """What to keep of TEXT for other processes, with other directories and environments, after SINK's check.

    Raises:
        UsageError: the plugin that brings it says what is wrong with it.
        PluginError: that plugin failed, or took too long.

    """
    scheme, _, rest = text.partition(":")

    def kept() -> str:
        own: object = sink.text
        if own is not None and not isinstance(own, str):
            raise TypeError("the text of a sink is a str, or None")
        return f"{scheme}:{rest if own is None else own}"

    if is_core(text):
        return kept()
    from raydp_wrap import plugins  # noqa: PLC0415 - only where one of them is in use

    return plugins.asked(f"the plugin for the sink {scheme}: can't say what to keep of it", kept)


def split(text: str, known: Iterable[str] = ()) -> list[str]:
    """The names in TEXT, one a line; with KNOWN schemes, also before each comma that one of them follows.

    A comma in a path, a URL or a command line stays, unless a known scheme and a colon come right behind it.
    """
    names = "|".join(map(re.escape, known))
    parts = re.split(rf"[\r\n]+|,\s*(?=(?:{names}):)" if names else r"[\r\n]+", text)
    return [part.strip() for part in parts if part.strip()]
