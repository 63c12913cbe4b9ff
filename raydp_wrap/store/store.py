"""The store as the rest of the program sees it: every method is one transaction, or one look."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from raydp_wrap.errors import AlreadyDecidedError, StoreError, UsageError
from raydp_wrap.model import Attempt, TerminalState
from raydp_wrap.store import outbox, records, submissions
from raydp_wrap.store.database import Database
from raydp_wrap.store.delivery import Delivery, DeliveryStatus, Settlement, Undelivered
from raydp_wrap.store.network import network_file_system

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable
    from types import TracebackType

    from typing_extensions import Self

    from raydp_wrap.model import Outcome, Submission
    from raydp_wrap.process.identity import ProcessIdentity
    from raydp_wrap.store.jobs import StoreJobs
    from raydp_wrap.store.preparations import Preparations

__all__ = ["Store"]


class Store:
    """HOME's ``store.db``, made if it is missing. For many threads, and many processes at the same time.

    What a method has changed survives a power cut when it returns. Whoever forks can use it in the parent only.
    TIMEOUT (seconds) is for how long another process may hold the store before a method gives up.

    Every method may raise StoreError: what to do about it is in the sentence, and nothing was changed. The one
    exception is a disk that failed under a commit: whether that is kept is seen by asking again.
    """

    def __init__(self, home: str | os.PathLike[str], *, timeout: float = 5.0) -> None:
        kind = network_file_system(home)
        if kind is not None:
            raise StoreError(
                f"{home} is on a network file system ({kind}), where a store can't be kept: "
                "set RAYDP_WRAP_HOME to a directory on a local disk."
            )
        self._database = Database(home, timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of it. In a forked child, and a second time, nothing happens."""
        self._database.close()

    @property
    def jobs(self) -> StoreJobs:
        """The submissions that a supervisor sees to."""
        from raydp_wrap.store.jobs import StoreJobs  # noqa: PLC0415 - a foreground run has none

        return StoreJobs(self._database)

    @property
    def preparations(self) -> Preparations:
        """The runtime environments of jobs."""
        from raydp_wrap.store.preparations import Preparations  # noqa: PLC0415 - as in jobs

        return Preparations(self._database)

    def submit(self, submission: Submission) -> Attempt:
        """Keep SUBMISSION, and its first attempt.

        Raises:
            UsageError: there is one of that id, or it can't be an id.

        """
        records.check_id(submission.submission_id)
        if submission.app_id is not None:
            _check_app_id(submission.app_id)
        with self._database.write() as connection:
            submissions.put(connection, submission)
            return submissions.put_attempt(connection, Attempt(submission.submission_id, 1, submission.created_at))

    def add_attempt(self, submission_id: str) -> Attempt:
        """Keep one attempt more, with the next number.

        Raises:
            AlreadyDecidedError: the submission is terminal.
            UsageError: there is none of that id.

        """
        try:
            with self._database.write() as connection:
                return submissions.next_attempt(connection, submission_id)
        except AlreadyDecidedError:
            self._database.make_durable()
            raise

    def submission(self, submission_id: str) -> Submission | None:
        """What was asked for."""
        with self._database.read() as connection:
            return submissions.submission(connection, submission_id)

    def attempts(self, submission_id: str) -> list[Attempt]:
        """Oldest first."""
        with self._database.read() as connection:
            return submissions.attempts(connection, submission_id)

    def undecided(self) -> list[Submission]:
        """All submissions without a terminal state, oldest first; not those that a supervisor sees to."""
        with self._database.read() as connection:
            return submissions.undecided(connection)

    def outcome(self, submission_id: str) -> Outcome | None:
        """How it ended, with the app id that is known by now; None while that is undecided."""
        with self._database.read() as connection:
            found = submissions.outcome(connection, submission_id)
        if found is not None:
            self._database.make_durable()
        return found

    def finish(
        self,
        outcome: Outcome,
        *,
        claimer: ProcessIdentity | None = None,
        lease: float = 30.0,
        now: float | None = None,
    ) -> list[Delivery]:
        """Decide how a submission ended, once and for all, and note that each of its sinks has to be told.

        The reports are claimed by CLAIMER right away, if there is one, and returned.

        Raises:
            AlreadyDecidedError: it was decided before; it carries the outcome that stands.
            UsageError: there is no such submission.
            ValueError: OUTCOME is no terminal one, or LEASE is out of range.

        """
        if outcome.state is TerminalState.UNKNOWN:
            raise ValueError("UNKNOWN is no terminal state: there is nothing to decide")
        outbox.check_lease(lease)
        now = time.time() if now is None else now
        try:
            with self._database.write() as connection:
                sinks, app_id = submissions.decide(connection, outcome, now)
                return outbox.put(connection, sinks, replace(outcome, app_id=app_id), claimer, lease, now)
        except AlreadyDecidedError:
            self._database.make_durable()
            raise

    def bind(self, submission_id: str, app_id: str, *, now: float | None = None) -> bool:
        """Note the cluster's name for a submission; its reports that wait are due at once. False if it was known.

        While the submission is undecided a later attempt's id replaces an earlier one's. Once it is terminal the
        first id that becomes known stays; the decision is not touched.

        Raises:
            UsageError: there is no such submission, or it is terminal and has another app id.

        """
        _check_app_id(app_id)
        now = time.time() if now is None else now
        with self._database.write() as connection:
            new = submissions.bind(connection, submission_id, app_id)
            if new:
                outbox.due_now(connection, submission_id, now)
            return new

    def claim(
        self,
        claimer: ProcessIdentity,
        *,
        submission_id: str | None = None,
        lease: float = 30.0,
        now: float | None = None,
        retry_failed: bool = False,
        limit: int = 100,
    ) -> list[Delivery]:
        """Take reports that are due, or whose sender is dead or out of time, so that nobody else sends them.

        Of SUBMISSION_ID only, if given; with RETRY_FAILED also those that were given up, whose tries start
        again. At most LIMIT, the longest due first. Each is to be settled or released within LEASE seconds.

        Raises:
            ValueError: LEASE is out of range.

        """
        outbox.check_lease(lease)
        now = time.time() if now is None else now
        with self._database.write() as connection:
            return outbox.claim(connection, claimer, submission_id, lease, now, limit, retry_failed=retry_failed)

    def settle(
        self,
        delivery: Delivery,
        status: DeliveryStatus,
        *,
        next_try_at: float | None = None,
        error: str = "",
        now: float | None = None,
    ) -> bool:
        """Note what became of DELIVERY: PENDING is to be tried again, at NEXT_TRY_AT (None: at once).

        False: the claim was lost to another sender meanwhile, and nothing was noted.
        """
        return self.settle_all([Settlement(delivery, status, next_try_at, error)], now=now)[0]

    def settle_all(self, settlements: Iterable[Settlement], *, now: float | None = None) -> list[bool]:
        """Note what became of several deliveries, in one transaction."""
        now = time.time() if now is None else now
        with self._database.write() as connection:
            return [outbox.settle(connection, settled, now) for settled in settlements]

    def release(self, deliveries: Iterable[Delivery], *, now: float | None = None) -> None:
        """Give claims back untried."""
        now = time.time() if now is None else now
        with self._database.write() as connection:
            for delivery in deliveries:
                outbox.release(connection, delivery, now)

    def await_writer(self) -> None:
        """Return when whoever writes just now, in any process, has committed, or given that up.

        Raises StoreError; nobody may know then whether there is something new.
        """
        self._database.await_writer()

    def next_due(self, now: float | None = None) -> float | None:
        """When :meth:`claim` may have something (seconds since the epoch); None: all is told, or given up."""
        now = time.time() if now is None else now
        with self._database.read() as connection:
            return outbox.next_due(connection, now)

    def undelivered(self) -> list[Undelivered]:
        """All reports that were not accepted, oldest first."""
        with self._database.read() as connection:
            return outbox.undelivered(connection)


def _check_app_id(app_id: str) -> None:
    if not app_id.isprintable() or not 0 < len(app_id) <= submissions.LONGEST_APP_ID:
        raise UsageError(f"{app_id[:200]!r} can't be an app id.")
