"""The end of a file that somebody else writes to."""

from __future__ import annotations

import os
import stat

__all__ = ["LIMIT", "tail"]

#: Bytes: how much of an output is looked at.
LIMIT = 1 << 20


def tail(fd: int, start: int = 0, limit: int = LIMIT) -> bytes:
    """At most the last LIMIT bytes of the regular file behind FD, from byte START on.

    Nothing of anything else, or of what can't be read. Never blocks; the offset, which FD may share with
    the writer, stays where it is.
    """
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return b""
        # A stream opened for writing only can't be read; what is behind it can be opened again.
        again = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return b""
    try:
        return _last(again, start, limit)
    except OSError:
        return b""
    finally:
        os.close(again)


def _last(fd: int, start: int, limit: int) -> bytes:
    end = os.fstat(fd).st_size
    at = max(start, end - limit, 0)
    pieces = []
    while at < end and (piece := os.pread(fd, end - at, at)):
        pieces.append(piece)
        at += len(piece)
    return b"".join(pieces)
