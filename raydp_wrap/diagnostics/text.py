"""Text that is safe to store and to show, whatever it was made of."""

from __future__ import annotations

import re

__all__ = ["LIMIT", "bounded", "escape", "one_line", "shorten"]

#: What a diagnostics text may measure, in bytes of UTF-8.
LIMIT = 64 << 10

# Controls but newline and tab (C1 too: 0x9b starts a terminal's command as ESC [ does), what reorders or
# separates lines unseen, and lone surrogates, which UTF-8 can't hold.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_ELLIPSIS = "…"
_FIRST_BYTE, _LAST_BYTE = 0xDC80, 0xDCFF  # as surrogateescape writes the bytes 0x80-0xff


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    if _FIRST_BYTE <= code <= _LAST_BYTE:
        code -= 0xDC00
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}"  # noqa: PLR2004 - one byte


def escape(text: str) -> str:
    r"""TEXT with every character that is unsafe to show as ``\xNN`` or ``\uNNNN``; ``\n`` and ``\t`` stay."""
    return _UNSAFE.sub(_escaped, text)


def one_line(text: str) -> str:
    """TEXT as one line that a terminal shows and does not obey, with whatever can't be printed escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def shorten(text: str, limit: int) -> str:
    """TEXT with its middle cut out, at most LIMIT characters long."""
    if len(text) <= limit:
        return text
    kept = max(limit - len(_ELLIPSIS), 0)
    return text[: kept - kept // 2] + _ELLIPSIS[:limit] + text[len(text) - kept // 2 :]


def bounded(text: str, limit: int = LIMIT) -> str:
    """TEXT escaped, and its middle cut out where it has more than LIMIT bytes of UTF-8.

    Every outcome's diagnostics pass through here. Nothing is redacted.
    """
    limit = max(limit, 0)
    # Escaping shortens nothing: of a longer text the ends alone are looked at.
    ends = text if len(text) <= 2 * limit else text[:limit] + text[len(text) - limit :]
    encoded = escape(ends).encode()
    if len(encoded) <= limit and ends is text:
        return encoded.decode()
    mark = _ELLIPSIS.encode()
    kept = limit - len(mark)
    if kept < 0:
        return ""
    head, last = encoded[: kept - kept // 2], encoded[len(encoded) - kept // 2 :]
    return head.decode(errors="ignore") + _ELLIPSIS + last.decode(errors="ignore")
