"""What people may see of a sink's name, and of what others wrote: no secret, nothing a terminal obeys."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["address", "hidden", "printable", "redacted"]

_HIDDEN = "…"
_LIMIT = 300
_ADDRESS = re.compile(
    r"([a-z][a-z0-9+.-]*)://(?:[^/?#]*@)?([a-z0-9._-]+(?::[0-9]+)?|\[[0-9a-f:.]+\](?::[0-9]+)?)", re.IGNORECASE
)
_TELLING = 6


def printable(text: str, limit: int = _LIMIT, *, end: bool = False) -> str:
    """TEXT as one line of at most LIMIT characters that a terminal shows and does not obey; with END, its end."""
    from raydp_wrap.diagnostics.text import one_line  # noqa: PLC0415 - where there is something to show

    some = text[-limit:] if end else text[: limit + 1]
    cut = len(some) < len(text)
    line = one_line(" ".join(some.split()))
    if len(line) <= limit and not cut:
        return line
    return _HIDDEN + line[-(limit - 1) :] if end else line[: limit - 1] + _HIDDEN


def hidden(text: str, secrets: Iterable[str]) -> str:
    """TEXT without SECRETS; those too short to tell anything stay."""
    for secret in sorted(set(secrets), key=len, reverse=True):
        if len(secret) >= _TELLING:
            text = text.replace(secret, _HIDDEN)
    return text


def address(url: str) -> str:
    """The scheme and host of URL. Its path is as secret as its password: that is how chat services name a hook."""
    found = _ADDRESS.match(url)
    rest = url[found.end() :] if found else ""
    # A password with a slash in it: what looks like the host is a part of it.
    if found is None or "@" in rest or rest[:1] not in ("", "/", "?", "#"):
        return _HIDDEN
    return f"{found[1]}://{found[2]}" + (f"/{_HIDDEN}" if rest.strip("/") else "")


def _program(line: str) -> str:
    import shlex  # noqa: PLC0415 - only errors and lists show sinks

    try:
        words = shlex.split(line)
    except ValueError:
        return _HIDDEN
    if not words:
        return ""
    return (_HIDDEN if "=" in words[0] else words[0]) + (f" {_HIDDEN}" if words[1:] else "")


def redacted(text: str) -> str:
    """How the sink named TEXT is shown to people: a file's path, a program without its arguments, a URL's host.

    Of a plugin's sink only what looks like a URL is shown, as such: nobody else knows what is secret in it.
    """
    scheme, colon, rest = text.partition(":")
    if not colon or not re.fullmatch(r"[a-z][a-z0-9+.-]{0,30}", scheme):
        return _HIDDEN
    if scheme == "file":
        shown = rest
    elif scheme == "exec":
        shown = _program(rest)
    else:
        shown = address(rest) if rest else ""
    return printable(f"{scheme}:{shown}")
