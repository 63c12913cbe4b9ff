"""From the end of a driver's output to the few lines that say why it failed."""

from __future__ import annotations

import re

from raydp_wrap.diagnostics.reading import LIMIT
from raydp_wrap.diagnostics.redaction import redact
from raydp_wrap.diagnostics.text import bounded, escape, shorten
from raydp_wrap.diagnostics.traces import first_exception

__all__ = ["summary"]

_LINES = 50
_LINE = 2000  # characters
_EXCEPTION = 500

_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
_BREAK = re.compile(rb"[\r\n](?=[^\r\n])")
_BLANK = re.compile(rb"\s")


def _whole(output: bytes) -> bytes:
    """The last MiB of OUTPUT without the line, or at least the word, that has lost its front.

    A secret in it has lost its name, too.
    """
    if len(output) < LIMIT:
        return output
    output = output[-LIMIT:]
    if line := _BREAK.search(output):
        return output[line.end() :]
    word = _BLANK.search(output)
    return "…".encode() + output[word.start() if word else 0 :]


def _seen(line: str) -> str:
    """What a terminal is left with: a progress bar's last state, without colours."""
    return _COLOUR.sub("", line.rstrip("\r").rpartition("\r")[2])


def summary(output: bytes) -> str:
    """The first exception in OUTPUT with its root cause, if there is one, and its last 50 lines."""
    text = _whole(output).decode(errors="surrogateescape")
    # Redacted while a name still stands before its value, escaped while words still have their boundaries.
    clear = redact("\n".join(map(_seen, text.split("\n"))))
    lines = [shorten(line, _LINE) for line in escape(clear).rstrip().split("\n")]
    found = first_exception(lines)
    shown = lines[-_LINES:]
    if found is not None:
        shown.insert(0, shorten(found.text, _EXCEPTION))
        if found.root is not None:
            shown[0] = f"{shown[0].removesuffix('.')}; root cause: {shorten(found.root, _EXCEPTION)}"
    return bounded("\n".join(shown))
