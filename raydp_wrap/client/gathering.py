"""All that wait in one event loop, on one connection to the supervisor; the loop is never held up."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from raydp_wrap.errors import SupervisorGoneError
from raydp_wrap.supervisor.bell import ALL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from raydp_wrap.client.access import Access, Watching

__all__ = ["Gathering"]


class Gathering:
    """Sets the events of those whose job has changed. For one event loop; connected while somebody waits."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._waiting: dict[str, set[Waiter]] = {}
        self._connecting: asyncio.Task[None] | None = None
        self._watching: Watching | None = None
        self._seq = 0

    @contextlib.asynccontextmanager
    async def waiter(self, what: str) -> AsyncIterator[Waiter]:
        """Who is told of WHAT, an id or ``ALL``, from now on. Raises SupervisorError."""
        waiter = Waiter()
        self._waiting.setdefault(what, set()).add(waiter)
        try:
            if self._connecting is None:
                self._connecting = asyncio.ensure_future(self._connect())
            # One that is cancelled must not take the others' connection with it.
            await asyncio.shield(self._connecting)
            yield waiter
        finally:
            self._waiting[what].discard(waiter)
            if not self._waiting[what]:
                del self._waiting[what]
            if not self._waiting:
                self._disconnect()

    async def _connect(self) -> None:
        self._seq = self._access.jobs.last_seq()
        self._attend(await asyncio.to_thread(self._access.watching, ALL))

    def _attend(self, watching: Watching) -> None:
        """Hear what WATCHING has to say, if those for whom it was had are still there."""
        if self._connecting is not asyncio.current_task():
            watching.close()
            return
        self._watching = watching
        asyncio.get_running_loop().add_reader(watching.fileno(), self._hear, watching)

    def _disconnect(self) -> None:
        connecting, self._connecting = self._connecting, None
        watching, self._watching = self._watching, None
        if watching is not None:
            asyncio.get_running_loop().remove_reader(watching.fileno())
            watching.close()
        elif connecting is not None and connecting.done() and not connecting.cancelled():
            connecting.exception()  # each of those who waited for it was told

    def _hear(self, watching: Watching) -> None:
        try:
            if watching.hear():
                self._look()
        except SupervisorGoneError:
            asyncio.get_running_loop().remove_reader(watching.fileno())
            self._watching = None
            self._connecting = asyncio.ensure_future(self._renew(watching))
        except Exception as error:  # noqa: BLE001 - the store's: it is for those who wait
            self._fail(error)

    async def _renew(self, watching: Watching) -> None:
        try:
            await asyncio.to_thread(watching.renew)
        except Exception as error:  # noqa: BLE001 - as above
            watching.close()
            if self._connecting is asyncio.current_task():
                self._connecting = None  # whoever comes next tries again
                self._fail(error)
            return
        self._attend(watching)

    def _look(self) -> None:
        while changes := self._access.jobs.changes(self._seq):
            self._seq = changes[-1].seq
            for what in {ALL, *(change.submission_id for change in changes)}:
                for waiter in self._waiting.get(what, ()):
                    waiter.wake()

    def _fail(self, error: Exception) -> None:
        for waiters in self._waiting.values():
            for waiter in waiters:
                waiter.fail(error)


class Waiter:
    """One that waits."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._error: Exception | None = None

    def wake(self) -> None:
        """Something has changed."""
        self._event.set()

    def fail(self, error: Exception) -> None:
        """Nothing more will be heard."""
        self._error = error
        self._event.set()

    async def changed(self) -> None:
        """Wait until something has changed since the last time; raises what keeps it from being known."""
        await self._event.wait()
        self._event.clear()
        if self._error is not None:
            raise self._error
