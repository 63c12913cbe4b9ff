"""A client's way to a home: its store, and a supervisor that is there whenever it is needed."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

from raydp_wrap.errors import SupervisorError, SupervisorGoneError, UsageError
from raydp_wrap.supervisor.background import LOG, ensure

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable, Iterator, MutableMapping
    from pathlib import Path

    from typing_extensions import Self

    from raydp_wrap.client.gathering import Gathering
    from raydp_wrap.job import Job as Status
    from raydp_wrap.store import Store
    from raydp_wrap.store.jobs import StoreJobs
    from raydp_wrap.supervisor.bell import Bell

__all__ = ["Access", "Watching"]

_SOON = 1.0  # seconds: a supervisor that ends within it has done nothing
_PATIENCE = 5  # times


class Access:
    """HOME, a private directory; TELL is given what a person should know. For any number of threads."""

    def __init__(self, home: Path, tell: Callable[[str], None]) -> None:
        self.home = home
        self.tell = tell
        self._lock = threading.Lock()
        self._store: Store | None = None
        self._gatherings: MutableMapping[asyncio.AbstractEventLoop, Gathering] | None = None

    @property
    def store(self) -> Store:
        """The home's store, opened when it is first needed. Raises StoreError."""
        with self._lock:
            if self._store is None:
                from raydp_wrap.store import Store  # noqa: PLC0415 - SQLite, for who needs it

                self._store = Store(self.home)
            return self._store

    @property
    def jobs(self) -> StoreJobs:
        """The jobs in it."""
        return self.store.jobs

    def status(self, submission_id: str) -> Status:
        """A job as it is now.

        Raises:
            UsageError: there is none of that id.

        """
        found = self.jobs.job(submission_id)
        if found is None:
            raise UsageError(f"there is no job {submission_id}: it was deleted, or never submitted.")
        return found

    def ensure(self) -> Bell:
        """A connection to the supervisor. Raises SupervisorError."""
        return ensure(self.home, tell=self.tell)

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """In here the store is changed, so that the supervisor acts on it.

        Raises:
            SupervisorError: there is none, and none can be started. Nothing was changed yet.

        """
        with self.ensure() as bell:
            yield
            try:
                bell.ring()
            except SupervisorGoneError:
                self.ensure().close()  # whoever begins looks first

    def watching(self, *ids: str) -> Watching:
        """Be told when one of IDS changes. Raises SupervisorError."""
        return Watching(self.ensure, ids, f"see {self.home / LOG}")

    def gathering(self) -> Gathering:
        """What tells all of the running event loop's waiters."""
        import asyncio  # noqa: PLC0415 - only who has a loop
        import weakref  # noqa: PLC0415 - the same

        from raydp_wrap.client.gathering import Gathering  # noqa: PLC0415 - the same

        loop = asyncio.get_running_loop()
        with self._lock:
            if self._gatherings is None:
                self._gatherings = weakref.WeakKeyDictionary()
            if loop not in self._gatherings:
                self._gatherings[loop] = Gathering(self)
            return self._gatherings[loop]

    def close(self) -> None:
        """Close the store."""
        with self._lock:
            store, self._store = self._store, None
        if store is not None:
            store.close()


class Watching:
    """A bell that goes on: where the supervisor ends, another one is ensured, and the store is to be looked into.

    ``fileno()`` stays the same meanwhile, except that an epoll must be told of it again after :meth:`renew`. For one
    thread, but for :meth:`give_up`. All methods but that may raise SupervisorError: none can be had.
    """

    def __init__(self, ensure: Callable[[], Bell], ids: Iterable[str], where: str) -> None:
        self._ensure = ensure
        self._ids = tuple(ids)
        self._where = where
        self._short = 0
        self._given_up = False
        self._bell = self._connected()
        self._since = time.monotonic()

    def _connected(self) -> Bell:
        for _ in range(_PATIENCE):
            bell = self._ensure()
            try:
                bell.watch(self._ids)
            except SupervisorGoneError:
                bell.close()
            except BaseException:
                bell.close()
                raise
            else:
                return bell
        raise self._keeps_ending()

    def _keeps_ending(self) -> SupervisorError:
        return SupervisorError(f"the supervisor keeps ending: {self._where}.")

    def fileno(self) -> int:
        """Readable when there is something to :meth:`read`."""
        return self._bell.fileno()

    def hear(self) -> bool:
        """Whether something may have changed since the last time. Never waits; raises SupervisorGoneError."""
        return self._bell.read()

    def renew(self) -> None:
        """Have another supervisor take the place of the one that is gone."""
        now = time.monotonic()
        self._short = self._short + 1 if now - self._since < _SOON else 0
        if self._short >= _PATIENCE:
            raise self._keeps_ending()
        self._bell.become(self._connected())
        self._since = time.monotonic()

    def read(self) -> bool:
        """Whether something may have changed since the last time; waits only for another supervisor."""
        return self._heard(self._bell.read)

    def wait(self, timeout: float | None = None, also: int | None = None) -> bool:
        """Wait until something may have changed; False when TIMEOUT seconds are over, or ALSO is readable."""
        return self._heard(lambda: self._bell.wait(timeout, also))

    def _heard(self, listen: Callable[[], bool]) -> bool:
        try:
            return listen()
        except SupervisorGoneError:
            if not self._given_up:
                self.renew()
            return True

    @property
    def given_up(self) -> bool:
        """Whether :meth:`give_up` was called."""
        return self._given_up

    def give_up(self) -> None:
        """Have another thread's wait return, and all that come."""
        self._given_up = True
        self._bell.hang_up()

    def close(self) -> None:
        """Hang up."""
        self._bell.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
