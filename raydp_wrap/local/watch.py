"""Events for files that grow: one inotify instance for all, of which a user has few, and only while it is needed."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from raydp_wrap.errors import RaydpWrapError
from raydp_wrap.local import inotify

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Watcher"]


class Watcher:
    """Sets an event whenever a watched file was written to. Used in one event loop at a time."""

    def __init__(self) -> None:
        self._inotify: inotify.Inotify | None = None
        self._events: dict[int, list[asyncio.Event]] = {}

    @contextlib.contextmanager
    def watch(self, fd: int) -> Iterator[asyncio.Event]:
        """An event that is set whenever the open file FD is written to, or loses its name.

        Raises:
            RaydpWrapError: no more files can be watched.

        """
        loop = asyncio.get_running_loop()
        if self._inotify is None:
            self._inotify = inotify.Inotify()
            loop.add_reader(self._inotify.fd, self._read, self._inotify)
        instance = self._inotify
        try:
            watch = instance.add(fd, inotify.MODIFY | inotify.META)
        except RaydpWrapError:
            if not self._events:
                self._release(loop, instance)
            raise
        event = asyncio.Event()
        self._events.setdefault(watch, []).append(event)
        try:
            yield event
        finally:
            self._events[watch].remove(event)
            if not self._events[watch]:
                del self._events[watch]
                instance.remove(watch)
            if not self._events:
                self._release(loop, instance)

    def _release(self, loop: asyncio.AbstractEventLoop, instance: inotify.Inotify) -> None:
        self._inotify = None
        try:
            loop.remove_reader(instance.fd)
            # The kernel may take 20 ms to close one: in a thread.
            loop.run_in_executor(None, instance.close)
        except RuntimeError:  # the loop is closed, or about to be
            instance.close()

    def _read(self, instance: inotify.Inotify) -> None:
        for watch, mask in instance.read():
            missed = mask & inotify.Q_OVERFLOW
            for events in self._events.values() if missed else (self._events.get(watch, ()),):
                for event in events:
                    event.set()
