"""Events for files that grow: one inotify instance for all, of which a user has few, and only while it is needed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
from typing import TYPE_CHECKING, Any

from raydp_wrap.errors import RaydpWrapError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Watcher"]

_IN_MODIFY = 0x2
_IN_Q_OVERFLOW = 0x4000
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


class Watcher:
    """Sets an event whenever a watched file was written to. Used in one event loop at a time."""

    def __init__(self) -> None:
        self._fd = -1
        self._events: dict[int, list[asyncio.Event]] = {}

    @contextlib.contextmanager
    def watch(self, fd: int) -> Iterator[asyncio.Event]:
        """An event that is set whenever the open file FD is written to.

        Raises:
            RaydpWrapError: no more files can be watched.

        """
        loop = asyncio.get_running_loop()
        if self._fd < 0:
            self._fd = _checked(_libc().inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK))
            loop.add_reader(self._fd, self._read)
        try:
            # By the descriptor: whatever its name is by now, it is this file.
            watch = _checked(_libc().inotify_add_watch(self._fd, b"/proc/self/fd/%d" % fd, _IN_MODIFY))
        except RaydpWrapError:
            if not self._events:
                self._release(loop)
            raise
        event = asyncio.Event()
        self._events.setdefault(watch, []).append(event)
        try:
            yield event
        finally:
            self._events[watch].remove(event)
            if not self._events[watch]:
                del self._events[watch]
                _libc().inotify_rm_watch(self._fd, watch)
            if not self._events:
                self._release(loop)

    def _release(self, loop: asyncio.AbstractEventLoop) -> None:
        fd, self._fd = self._fd, -1
        try:
            loop.remove_reader(fd)
            # The kernel may take 20 ms to close one: in a thread.
            loop.run_in_executor(None, os.close, fd)
        except RuntimeError:  # the loop is closed, or about to be
            os.close(fd)

    def _read(self) -> None:
        try:
            data = os.read(self._fd, _BUFFER)
        except BlockingIOError:
            return
        at = 0
        while at < len(data):
            watch, mask, _, length = _HEAD.unpack_from(data, at)
            at += _HEAD.size + length
            missed = mask & _IN_Q_OVERFLOW
            for events in self._events.values() if missed else (self._events.get(watch, ()),):
                for event in events:
                    event.set()
