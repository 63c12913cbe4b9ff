"""A supervisor at work in an event loop: found by its bell, until it is idle or asked to leave."""

from __future__ import annotations

import asyncio
import contextlib
import os
import weakref
from typing import TYPE_CHECKING, Any, Protocol

import raydp_wrap
from raydp_wrap.errors import StoreError
from raydp_wrap.store import Store
from raydp_wrap.supervisor.doorbell import Doorbell

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Making = Callable[[Store, Path, Callable[[str], None]], "Supervising"]

__all__ = ["Serving", "Supervising"]


class Supervising(Protocol):
    """What is served: :class:`raydp_wrap.supervisor.loop.Supervisor`, seen from here."""

    on_change: Callable[[set[str]], None] | None

    @property
    def idle(self) -> bool:
        """Whether nothing would happen without a ring."""

    def ring(self) -> None:
        """Something in the store has changed."""

    async def until_idle(self) -> None:
        """Wait until there is nothing to do."""

    async def run(self) -> None:
        """Supervise until cancelled."""


class Serving:
    """Supervises HOME, whose lock LIFE the caller has taken, and hands over; MAKE makes the supervisor.

    Listens from the start on; :meth:`serve` answers.

    Raises:
        RaydpWrapError, OSError: it can't; LIFE is closed.

    """

    def __init__(self, home: Path, life: int, tell: Callable[[str], None], make: Making) -> None:
        self._life = life
        self._tell = tell
        self._leave: asyncio.Event = asyncio.Event()
        try:
            self._store = Store(home)
            try:
                self._supervisor = make(self._store, home, tell)
                self._doorbell = Doorbell(
                    home, raydp_wrap.__version__, on_ring=self._supervisor.ring, on_leave=self._leave.set
                )
                self._doorbell.open()
            except BaseException:
                self._store.close()
                raise
        except BaseException:
            os.close(life)
            raise
        self._supervisor.on_change = self._doorbell.tell
        _serving.add(self)

    def leave(self) -> None:
        """Have :meth:`serve` return. To be called in its event loop."""
        self._leave.set()

    def left_over(self) -> bool:
        """Whether there is something to do for whoever supervises next."""
        try:
            return bool(self._store.jobs.unfinished()) or self._store.next_due() is not None
        except StoreError:
            return True

    async def serve(self, linger: float | None) -> None:
        """Supervise until asked to leave, or idle and alone for LINGER seconds (None: never). What runs goes on.

        Raises StoreGoneError, and whatever else the supervisor does, which is a fault of ours.
        """
        self._doorbell.attend()
        run = asyncio.ensure_future(self._supervisor.run())
        ends: list[asyncio.Future[Any]] = [run, asyncio.ensure_future(self._leave.wait())]
        if linger is not None:
            ends.append(asyncio.ensure_future(self._idle(linger)))
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if run.done():
                run.result()
        finally:
            # First: who comes from now on finds nobody, and waits for the lock.
            self._doorbell.hang_up()
            for one in ends:
                one.cancel()
            await asyncio.gather(*ends, return_exceptions=True)
            # Then: who hears of it finds nothing of ours under way.
            self._doorbell.close()

    async def _idle(self, linger: float) -> None:
        """Return when nothing was to be done, and nobody connected, for LINGER seconds."""
        while True:
            await self._supervisor.until_idle()
            await self._doorbell.alone()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._doorbell.visited(), linger)
                continue
            if self._supervisor.idle and not self._doorbell.callers:
                return

    def close(self) -> None:
        """Let go of store and lock, last."""
        _serving.discard(self)
        self._doorbell.close()
        self._store.close()
        if self._life >= 0:
            os.close(self._life)
            self._life = -1

    def drop(self) -> None:
        """In a forked child: keep nothing open that means we live."""
        self._doorbell.drop()
        os.close(self._life)
        self._life = -1


_serving: weakref.WeakSet[Serving] = weakref.WeakSet()


def _drop_all() -> None:
    for one in list(_serving):
        with contextlib.suppress(OSError):
            one.drop()
    _serving.clear()


os.register_at_fork(after_in_child=_drop_all)
