"""Time that moves when a test says so."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FakeClock", "Timer"]

_ROUNDS: Final = 100


class Timer:
    """A call that is due at ``when`` (of the monotonic time), unless it is cancelled before."""

    def __init__(self, when: float, function: Callable[[], object]) -> None:
        self.when = when
        self.cancelled = False
        self._function = function

    def cancel(self) -> None:
        """Let it not happen; twice, or too late, does no harm."""
        self.cancelled = True

    def run(self) -> None:
        """Make the call, for the clock."""
        if not self.cancelled:
            self.cancelled = True
            self._function()


class FakeClock:
    """A monotonic clock that begins at 0, and a wall clock that begins at NOW (seconds since the epoch).

    Both stand still between calls of :meth:`advance`. For one thread.
    """

    def __init__(self, now: float = 1_740_830_400.0) -> None:
        self._monotonic = 0.0
        self._offset = now
        self._timers: list[tuple[float, int, Timer]] = []
        self._numbers = itertools.count()

    def monotonic(self) -> float:
        """Seconds, as ``time.monotonic``."""
        return self._monotonic

    def time(self) -> float:
        """Seconds since the epoch, as ``time.time``."""
        return self._offset + self._monotonic

    def call_later(self, seconds: float, function: Callable[[], object]) -> Timer:
        """Call FUNCTION when SECONDS have passed: within :meth:`advance`, and never at once."""
        timer = Timer(self._monotonic + max(0.0, seconds), function)
        heapq.heappush(self._timers, (timer.when, next(self._numbers), timer))
        return timer

    async def sleep(self, seconds: float) -> None:
        """Wait until SECONDS have passed."""
        done = asyncio.Event()
        timer = self.call_later(seconds, done.set)
        try:
            await done.wait()
        finally:
            timer.cancel()

    async def wait_for(self, event: asyncio.Event, seconds: float | None) -> bool:
        """Wait until EVENT is set, at most SECONDS; whether it is."""
        if seconds is None:
            return await event.wait()
        woken = asyncio.get_running_loop().create_future()

        def wake(_: object = None) -> None:
            if not woken.done():
                woken.set_result(None)

        timer = self.call_later(seconds, wake)
        waiting = asyncio.ensure_future(event.wait())
        waiting.add_done_callback(wake)
        try:
            await woken
        finally:
            timer.cancel()
            waiting.cancel()
        return event.is_set()

    def next_timer(self) -> float | None:
        """How many seconds until the next call is due; None if none is."""
        while self._timers and self._timers[0][2].cancelled:
            heapq.heappop(self._timers)
        return self._timers[0][0] - self._monotonic if self._timers else None

    def advance(self, seconds: float) -> None:
        """Let SECONDS pass, and make each call when it is due, in order.

        What waits in the event loop goes on when the loop runs next: see :meth:`run_for`.
        """
        end = self._monotonic + seconds
        while (left := self.next_timer()) is not None and self._monotonic + left <= end:
            self._run_next()
        self._monotonic = max(self._monotonic, end)

    def _run_next(self) -> None:
        when, _, timer = heapq.heappop(self._timers)
        self._monotonic = max(self._monotonic, when)
        timer.run()

    async def run_for(self, seconds: float) -> None:
        """The same, and let the event loop do what there is to do before, between and after the calls."""
        end = self._monotonic + seconds
        await self.settle()
        while (left := self.next_timer()) is not None and self._monotonic + left <= end:
            self._run_next()
            await self.settle()
        self._monotonic = max(self._monotonic, end)

    async def settle(self) -> None:
        """Let the event loop run, as long as that needs no time, and at most a hundred rounds."""
        for _ in range(_ROUNDS):
            await asyncio.sleep(0)

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward, or back; the monotonic one goes on as if nothing were."""
        self._offset += seconds
