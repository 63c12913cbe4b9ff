"""A job's output on a terminal: nothing of it is obeyed but colours."""

from __future__ import annotations

import codecs
import re

from raydp_wrap.diagnostics.text import escape

__all__ = ["TerminalFilter"]

_COLOUR = re.compile("(\x1b\\[[0-9;:]{0,60}m)")
_RETURN = re.compile("\r+\n?")
# What may become a colour, or a line's end, with what comes next.
_BEGUN = re.compile("(?:\x1b(?:\\[[0-9;:]{0,60})?|\r+)\\Z")
_LONGEST_RETURN = 64
_PLAIN = "\x1b[0m"


class TerminalFilter:
    r"""Makes text that can be shown of bytes in UTF-8, piece by piece, in constant memory.

    Colours (SGR) stay, and are taken back at the end. Every other control, also one that moves the cursor, sets a
    title or asks the terminal for an answer, is shown as ``\xNN``, and so are bytes that are no UTF-8. A carriage
    return starts a new line: it can't hide what was there.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._kept = ""
        self._coloured = False

    def feed(self, data: bytes) -> str:
        """What can be shown by now."""
        text = self._kept + self._decoder.decode(data)
        begun = _BEGUN.search(text, max(0, len(text) - _LONGEST_RETURN))
        self._kept = "" if begun is None else begun[0]
        return self._shown(text[: len(text) - len(self._kept)])

    def end(self) -> str:
        """What is left."""
        text, self._kept = self._kept + self._decoder.decode(b"", final=True), ""
        return self._shown(text) + (_PLAIN if self._coloured else "")

    def _shown(self, text: str) -> str:
        parts = _COLOUR.split(text)
        self._coloured = self._coloured or len(parts) > 1
        parts[::2] = (escape(_RETURN.sub("\n", part)) for part in parts[::2])
        return "".join(parts)
