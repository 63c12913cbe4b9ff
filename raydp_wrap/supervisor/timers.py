"""When something has to be looked at again: one timer of the event loop for all of it."""

from __future__ import annotations

import asyncio
import heapq
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Timers"]


class Timers:
    """For each key at most one moment. CALL is called, in the event loop, when one or more have come."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call
        self._at: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []  # what is not in _at any more is stale
        self._handle: asyncio.TimerHandle | None = None

    def __bool__(self) -> bool:
        """Whether any moment is still to come."""
        return bool(self._at)

    def set(self, key: str, seconds: float) -> None:
        """Have KEY come up in SECONDS, unless it does so earlier."""
        at = asyncio.get_running_loop().time() + max(0.0, seconds)
        if key in self._at and self._at[key] <= at:
            return
        self._at[key] = at
        heapq.heappush(self._heap, (at, key))
        self._arm()

    def clear(self, key: str) -> None:
        """Have KEY not come up."""
        self._at.pop(key, None)

    def take(self) -> list[str]:
        """The keys whose moment has come; they are cleared."""
        now, come = asyncio.get_running_loop().time(), []
        while self._next() is not None and self._heap[0][0] <= now:
            _, key = heapq.heappop(self._heap)
            del self._at[key]
            come.append(key)
        self._arm()
        return come

    def close(self) -> None:
        """Let nothing come up any more."""
        self._at.clear()
        self._arm()

    def _next(self) -> float | None:
        while self._heap and self._at.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def _arm(self) -> None:
        at = self._next()
        if self._handle is not None:
            if at is not None and self._handle.when() == at and not self._handle.cancelled():
                return
            self._handle.cancel()
            self._handle = None
        if at is not None:
            self._handle = asyncio.get_running_loop().call_at(at, self._come)

    def _come(self) -> None:
        self._handle = None
        self._call()
