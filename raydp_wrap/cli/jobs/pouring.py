"""A job's output on ours: byte for byte, except on a terminal."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["pour"]


def pour(chunks: Iterable[bytes], fd: int) -> None:
    """Write CHUNKS to FD (1 or 2) as they come. Raises OSError as write(2), and what CHUNKS raises."""
    if not os.isatty(fd):
        for chunk in chunks:
            _write(fd, chunk)
        return
    from raydp_wrap.cli.jobs.escapes import TerminalFilter  # noqa: PLC0415 - for terminals only

    shown = TerminalFilter()
    try:
        for chunk in chunks:
            _write(fd, _encoded(shown.feed(chunk)))
    finally:
        _write(fd, _encoded(shown.end()))


def _encoded(text: str) -> bytes:
    return text.encode(getattr(sys.stdout, "encoding", None) or "utf-8", "backslashreplace")


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
