"""Threads for calls that a hung disk or a stopped process may hold up for ever."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from raydp_wrap.errors import RaydpWrapError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Threads"]

T = TypeVar("T")


class Threads:
    """At most LIMIT daemon threads, named NAME; each ends when nothing is left to do.

    Not concurrent.futures' pool, nor asyncio's: the process's end waits for theirs.
    """

    def __init__(self, limit: int, name: str) -> None:
        self._limit = limit
        self._name = name
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._running = 0

    async def run(self, call: Callable[[], T], too_late: Callable[[T], None]) -> T:
        """What CALL returns, or raises, in one of the threads.

        Cancelled, this leaves at once. A CALL that has begun goes on, and its thread hands what it returns to TOO_LATE.
        """
        future: Future[T] = Future()
        self._submit(future, call)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            future.add_done_callback(lambda done: _hand_on(done, too_late))
            raise

    def _submit(self, future: Future[T], call: Callable[[], T]) -> None:
        with self._lock:
            self._waiting.append((future, call))
            if self._running == self._limit:
                return
            self._running += 1
        try:
            threading.Thread(target=self._work, name=self._name, daemon=True).start()
        except RuntimeError:
            self._go_without()

    def _go_without(self) -> None:
        """One thread that was counted can't be had: where another runs, it comes to every call."""
        with self._lock:
            self._running -= 1
            given_up = [] if self._running else [*self._waiting]
            if given_up:
                self._waiting.clear()
        for future, _ in given_up:
            if future.set_running_or_notify_cancel():
                future.set_exception(RaydpWrapError("no thread can be started here: raise the limit of processes."))

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._running -= 1
                    return
                future, call = self._waiting.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = call()
            except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
                future.set_exception(error)
            else:
                future.set_result(result)
                del result
            del future, call


def _hand_on(done: Future[T], too_late: Callable[[T], None]) -> None:
    if not done.cancelled() and done.exception() is None:
        too_late(done.result())
