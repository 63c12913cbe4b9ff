"""An event loop whose time passes only when nothing else is to be done: a day of timers in a moment, always alike."""

from __future__ import annotations

import asyncio
import selectors


class _Selector(selectors.SelectSelector):
    """Nothing ever becomes readable but the loop's own pipe; what would be waited is skipped."""

    def __init__(self) -> None:
        super().__init__()
        self.skipped = 0.0

    def select(self, timeout: float | None = None) -> list:
        if timeout is None:
            raise RuntimeError("everything waits for something that no timer brings")
        if timeout > 0:
            self.skipped += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Begins at 0 seconds. Without threads, signals and descriptors."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.skipped


class LoopClock:
    """The clock of a FakeBackend, by the running loop's time. ``offset`` is what the wall clock shows at its 0."""

    def __init__(self, loop: asyncio.AbstractEventLoop, offset: float = 1_740_830_400.0) -> None:
        self._loop = loop
        self.offset = offset

    def time(self) -> float:
        return self.offset + self._loop.time()

    def monotonic(self) -> float:
        return self._loop.time()

    async def wait_for(self, event: asyncio.Event, seconds: float | None) -> bool:
        if seconds is None:
            return await event.wait()
        try:
            return await asyncio.wait_for(event.wait(), max(1e-6, seconds))
        except asyncio.TimeoutError:
            return event.is_set()


def run(loop: VirtualLoop, main) -> object:
    """As asyncio.run, in LOOP."""
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(main)
    finally:
        pending = asyncio.all_tasks(loop)
        for task in pending:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
        asyncio.set_event_loop(None)
        loop.close()
