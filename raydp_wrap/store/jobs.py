"""The jobs of a home: the contract :class:`raydp_wrap.job.Jobs`, kept in the store, and what faces look up."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from raydp_wrap.errors import AlreadyDecidedError, StoreError
from raydp_wrap.store import asking, finding, job_reads, job_rows, job_writes, steps, submissions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import apsw

    from raydp_wrap.job import Capacity, Change, Job, StopWish, Tally
    from raydp_wrap.model import Attempt, Outcome, Submission, TerminalState
    from raydp_wrap.moment import Moment
    from raydp_wrap.request import Context, Phase, Request
    from raydp_wrap.store.database import Database
    from raydp_wrap.store.steps import Step

__all__ = ["StoreJobs"]


class StoreJobs:
    """The jobs in DATABASE. Made by :class:`raydp_wrap.store.Store`, whose promises hold for every method."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextlib.contextmanager
    def _write(self) -> Iterator[apsw.Connection]:
        try:
            with self._database.write() as connection:
                yield connection
        except AlreadyDecidedError:
            self._database.make_durable()
            raise

    def _seen(self, found: list[Job]) -> list[Job]:
        if any(job.phase.terminal for job in found):
            self._database.make_durable()
        return found

    def submit(self, submission: Submission, request: Request, context: Context, now: Moment) -> tuple[Job, bool]:
        """Keep a new job; see :meth:`raydp_wrap.job.Jobs.submit`, also for the others."""
        identity = submission.submission_id
        with self._write() as connection:
            found = job_reads.job(connection, identity)
            if found is not None:
                asking.check_same(found, submission, request)
                self._seen([found])
                return found, False
            known = lambda other: job_reads.phase_of(connection, other)  # noqa: E731 - the connection's
            asking.check(submission, request, context, job_reads.capacity(connection), known)
            job_writes.put(connection, submission, request, context, now)
            return _there(connection, identity), True

    def stop(self, submission_id: str, wish: StopWish, outcome: Outcome, now: Moment) -> Job:
        """Ask for a stop."""
        return self._change(submission_id, lambda job: steps.stop(job, wish, outcome), now)

    def suspend(self, submission_id: str, label: str, now: Moment) -> Job:
        """Ask for suspension."""
        return self._change(submission_id, lambda job: steps.suspend(job, label, now), now)

    def resume(self, submission_id: str, label: str, now: Moment) -> Job:
        """Take that back."""
        return self._change(submission_id, lambda job: steps.resume(job, label, now), now)

    def delete(self, submission_id: str, *, force: bool = False) -> None:
        """Forget a terminal job."""
        with self._write() as connection:
            why = asking.no_longer(
                _there(connection, submission_id),
                waiting=job_reads.waiting_for(connection, submission_id),
                untold=not force and job_reads.untold(connection, submission_id),
            )
            if why is not None:
                raise why
            job_writes.forget(connection, submission_id)

    def begin(self, submission_id: str, deadline: Moment | None, now: Moment) -> Job | None:
        """Keep that its next attempt is about to be started."""
        with self._write() as connection:
            job = _there(connection, submission_id)
            step = steps.begin(job, deadline)
            if step is None:
                return None
            job_writes.write(connection, job, step, now)
            return _there(connection, submission_id)

    def started(self, submission_id: str, number: int, saved: Mapping[str, Any], at: float, now: Moment) -> Job:
        """Its active attempt runs."""
        return self._change(submission_id, lambda job: steps.started(job, number, saved, at), now)

    def retry(
        self, submission_id: str, number: int, outcome: Outcome, tally: Tally, due: Moment, why: str, now: Moment
    ) -> Job:
        """Its active attempt has ended, and another one is to come."""
        return self._change(submission_id, lambda job: steps.retry(job, number, outcome, tally, due, why, now), now)

    def suspended(self, submission_id: str, number: int, outcome: Outcome, now: Moment) -> Job:
        """Its active attempt was ended to suspend it."""
        return self._change(submission_id, lambda job: steps.suspended(job, number, outcome, now), now)

    def park(self, submission_id: str, now: Moment) -> Job:
        """SUSPENDED, where nothing runs and that is asked for; else nothing is changed."""
        return self._change(submission_id, lambda job: steps.park(job, now), now)

    def decide(self, submission_id: str, number: int | None, outcome: Outcome, tally: Tally | None, now: Moment) -> Job:
        """The terminal state, and a report for each sink."""
        return self._change(submission_id, lambda job: steps.decide(job, number, outcome, tally), now)

    def _change(self, submission_id: str, step_of: Callable[[Job], Step], now: Moment) -> Job:
        with self._write() as connection:
            job = _there(connection, submission_id)
            if job.phase.terminal:
                raise submissions.already_decided(submission_id, submissions.outcome(connection, submission_id))
            step = step_of(job)
            if step is steps.NOTHING:
                return job
            job_writes.write(connection, job, step, now)
            return _there(connection, submission_id)

    def job(self, submission_id: str) -> Job | None:
        """The job; None if there is none of that id, or it is nobody's to supervise."""
        with self._database.read() as connection:
            found = job_reads.job(connection, submission_id)
        if found is not None:
            self._seen([found])
        return found

    def outcome(self, submission_id: str) -> Outcome | None:
        """How it ended; None while that is undecided."""
        with self._database.read() as connection:
            found = submissions.outcome(connection, submission_id)
        if found is not None:
            self._database.make_durable()
        return found

    def unfinished(self) -> list[Job]:
        """All that are not terminal, by place; see :meth:`unreadable`."""
        return self.listed(phases=job_reads.UNFINISHED, newest_first=False)

    def changed(self, since: int) -> list[Job]:
        """All whose last change came after number SINCE, by that; see :meth:`unreadable`."""
        with self._database.read() as connection:
            found, _ = job_reads.jobs(connection, "WHERE jobs.seq > ? ORDER BY jobs.seq", (since,))
        return self._seen(found)

    def unreadable(self, since: int = 0) -> list[tuple[str, str]]:
        """The ids of the undecided jobs that this version can't read, each with why, as a sentence.

        They are left out where several jobs are asked for. SINCE: only those whose last change came after it.
        """
        words, values = finding.selection(job_reads.UNFINISHED, (), None, since)
        with self._database.read() as connection:
            return job_reads.jobs(connection, f"{words} ORDER BY place", values)[1]

    def changes(self, since: int, submission_id: str | None = None, limit: int = 1000) -> list[Change]:
        """The changes after number SINCE, oldest first."""
        with self._database.read() as connection:
            found = job_reads.changes(connection, finding.most(since), submission_id, finding.most(limit))
        if any(change.phase.terminal for change in found):
            self._database.make_durable()
        return found

    def last_seq(self) -> int:
        """The number of the last change there was; 0 none."""
        with self._database.read() as connection:
            return job_reads.last_seq(connection)

    def context(self, submission_id: str) -> Context:
        """What it has from its submitter; emptied when it is terminal."""
        with self._database.read() as connection:
            return job_reads.context(connection, submission_id)

    def history(self, submission_id: str) -> list[tuple[Attempt, Outcome | None]]:
        """Its attempts, oldest first, with their ends; of all but the last, the diagnostics are cut short."""
        with self._database.read() as connection:
            found = job_reads.history(connection, submission_id)
        if found and found[-1][1] is not None:
            self._database.make_durable()
        return found

    def remains(self, submission_id: str) -> list[tuple[Attempt, Mapping[str, Any]]]:
        """Its attempts, oldest first, with what their backends saved: what there is to clear up before a delete."""
        with self._database.read() as connection:
            return job_reads.remains(connection, submission_id)

    def capacity(self) -> Capacity:
        """What was set."""
        with self._database.read() as connection:
            return job_reads.capacity(connection)

    def set_capacity(self, capacity: Capacity) -> None:
        """Keep what there is to give."""
        capacity.check()
        with self._write() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO capacity (id, document) VALUES (1, ?)", (job_rows.dump_capacity(capacity),)
            )

    def waiting_for(self, submission_id: str) -> Iterable[str]:
        """The ids of the undecided jobs that are to come after it."""
        with self._database.read() as connection:
            return job_reads.waiting_for(connection, submission_id)

    def next_expiry(self, now: Moment) -> float | None:
        """Seconds from NOW until the next terminal job's time is over; None: of no more jobs."""
        with self._database.read() as connection:
            return job_reads.next_expiry(connection, now.wall)

    def expired(self, now: Moment, limit: int = 100) -> list[str]:
        """The terminal jobs whose time is over, whose reports are all told, and that no job waits for; oldest first."""
        with self._database.read() as connection:
            return job_reads.expired(connection, now.wall, limit)

    def counts(self) -> Mapping[Phase, int]:
        """How many jobs there are in each phase; all phases are there."""
        with self._database.read() as connection:
            return job_reads.counts(connection)

    def find(self, word: str, *, limit: int | None = None) -> list[Job]:
        """What a user means by WORD, newest first.

        ``@last`` is the job submitted last, ``@last-N`` the N-th before it. Else the job of that id; else all whose id
        begins so; else all of that name.

        Raises:
            StoreError: what there is of it can't be read.

        """
        for words, values in finding.tries(word, limit):
            with self._database.read() as connection:
                found, unreadable = job_reads.jobs(connection, words, values)
            if found:
                return self._seen(found)
            if unreadable:
                raise StoreError(unreadable[0][1])
        return []

    def listed(
        self,
        *,
        phases: Iterable[Phase] = (),
        tags: Iterable[tuple[str, str | None]] = (),
        name: str | None = None,
        limit: int | None = None,
        newest_first: bool = True,
        since_seq: int = 0,
        left_out: Callable[[str, str], object] = lambda _id, _why: None,
    ) -> list[Job]:
        """The jobs in one of PHASES (none given: any), with all TAGS (value None: any), of that NAME, by place.

        LEFT_OUT is given the id of each that can't be read, and why, as a sentence.
        """
        words, values = finding.selection(tuple(phases), tuple(tags), name, since_seq)
        order = "DESC" if newest_first else "ASC"
        with self._database.read() as connection:
            found, unreadable = job_reads.jobs(
                connection, f"{words} ORDER BY place {order} LIMIT ?", (*values, finding.most(limit))
            )
        for one in unreadable:
            left_out(*one)
        return self._seen(found)

    def foreground(self, limit: int | None = None) -> list[tuple[Submission, TerminalState]]:
        """The submissions that are nobody's to supervise, newest first, with their states."""
        with self._database.read() as connection:
            found = submissions.unsupervised(connection, None if limit is None else finding.most(limit))
        if found:
            self._database.make_durable()
        return found


def _there(connection: apsw.Connection, submission_id: str) -> Job:
    found = job_reads.job(connection, submission_id)
    if found is None:
        raise asking.no_job(submission_id)
    return found
