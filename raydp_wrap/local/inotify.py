"""The kernel's notices of changed files, of which a user has few instances (128 by default)."""

from __future__ import annotations

import os
import struct
from typing import Any, Final

from raydp_wrap.errors import RaydpWrapError

__all__ = ["CREATE", "DELETE", "DELETE_SELF", "META", "MODIFY", "MOVED_TO", "Q_OVERFLOW", "Inotify"]

MODIFY: Final = 0x2
META: Final = 0x4  # IN_ATTRIB: the number of its names, too
MOVED_TO: Final = 0x80
CREATE: Final = 0x100
DELETE: Final = 0x200
DELETE_SELF: Final = 0x400
Q_OVERFLOW: Final = 0x4000

_HEAD = struct.Struct("iIII")
_BUFFER = 65536


def _libc() -> Any:
    import ctypes  # noqa: PLC0415 - only who follows an output

    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> int:
    if result < 0:
        import ctypes  # noqa: PLC0415 - as above

        why = os.strerror(ctypes.get_errno())
        raise RaydpWrapError(f"the output can't be followed ({why}): raise the limits below /proc/sys/fs/inotify.")
    return result


class Inotify:
    """One instance; ``fd`` is readable when something has happened.

    Raises:
        RaydpWrapError: the user has none left.

    """

    def __init__(self) -> None:
        self._libc = _libc()
        self.fd = _checked(self._libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK))

    def add(self, fd: int, mask: int) -> int:
        """Watch the open file FD; the watch. By the descriptor: whatever its name is by now, it is this file.

        Raises:
            RaydpWrapError: no more files can be watched.

        """
        return _checked(self._libc.inotify_add_watch(self.fd, b"/proc/self/fd/%d" % fd, mask))

    def remove(self, watch: int) -> None:
        """Watch it no more."""
        self._libc.inotify_rm_watch(self.fd, watch)

    def read(self) -> list[tuple[int, int]]:
        """What has happened, as pairs of watch and mask; none if nothing has."""
        try:
            data = os.read(self.fd, _BUFFER)
        except BlockingIOError:
            return []
        found, at = [], 0
        while at < len(data):
            watch, mask, _, length = _HEAD.unpack_from(data, at)
            at += _HEAD.size + length
            found.append((watch, mask))
        return found

    def close(self) -> None:
        """Give it back; the kernel may take 20 ms."""
        os.close(self.fd)
