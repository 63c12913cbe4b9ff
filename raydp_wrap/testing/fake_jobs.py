"""The jobs of a home, in memory: what a simulated supervisor works on, and what the store is compared with."""

from __future__ import annotations

import contextlib
from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from raydp_wrap.errors import AlreadyDecidedError
from raydp_wrap.job import LEAST_KEPT, Capacity, Change, ChangeKind, Job
from raydp_wrap.model import Attempt, Outcome, Submission
from raydp_wrap.request import Context, Phase, Request
from raydp_wrap.store import asking, steps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from raydp_wrap.job import StopWish, Tally
    from raydp_wrap.moment import Moment

__all__ = ["FakeJobs"]


@dataclass(slots=True)
class _Row:
    """All that is kept of one job."""

    job: Job
    context: Context
    changes: list[Change]
    attempts: list[Attempt] = field(default_factory=list)
    ends: dict[int, Outcome] = field(default_factory=dict)
    saved: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    outcome: Outcome | None = None
    expires_at: float | None = None
    untold: bool = False
    waiting: set[str] = field(default_factory=set)


class FakeJobs:
    """The contract :class:`raydp_wrap.job.Jobs` as the store keeps it, for one thread.

    FAULT is called before (False) and after (True) each change with the method's name; what it raises goes to the
    caller: as if it had been killed then.
    """

    def __init__(self, fault: Callable[[str, bool], None] | None = None) -> None:
        self.fault = fault
        self._rows: dict[str, _Row] = {}
        self._unfinished: dict[str, _Row] = {}
        self._changes: list[Change] = []
        self._seqs: list[int] = []
        self._expiring: list[tuple[float, int, str]] = []
        self._last = 0
        self._capacity = Capacity()

    @contextlib.contextmanager
    def _write(self, method: str) -> Iterator[None]:
        if self.fault is not None:
            self.fault(method, False)  # noqa: FBT003 - as the contract of FAULT has it
        yield
        if self.fault is not None:
            self.fault(method, True)  # noqa: FBT003

    def _row(self, submission_id: str) -> _Row:
        try:
            return self._rows[submission_id]
        except KeyError:
            raise asking.no_job(submission_id) from None

    def submit(self, submission: Submission, request: Request, context: Context, now: Moment) -> tuple[Job, bool]:
        """Keep a new job; see :meth:`raydp_wrap.job.Jobs.submit`, also for the others."""
        identity = submission.submission_id
        with self._write("submit"):
            found = self._rows.get(identity)
            if found is not None:
                asking.check_same(found.job, submission, request)
                return found.job, False
            asking.check(submission, request, context, self._capacity, self._phase)
            place = self._last + 1
            phase = Phase.SUSPENDED if request.suspend else Phase.PENDING
            job = Job(submission, request, phase, place, place, suspend=request.suspend)
            row = self._rows[identity] = self._unfinished[identity] = _Row(job, context, [])
            self._change(row, ChangeKind.SUBMITTED, {}, now)
            for dependency in request.after:
                self._rows[dependency.submission_id].waiting.add(identity)
            return job, True

    def _phase(self, submission_id: str) -> Phase | None:
        row = self._rows.get(submission_id)
        return None if row is None else row.job.phase

    def _change(self, row: _Row, kind: ChangeKind, detail: Mapping[str, Any], now: Moment) -> None:
        self._last += 1
        job = row.job
        change = Change(self._last, job.submission.submission_id, kind, job.phase, job.attempt, now.wall, detail)
        self._changes.append(change)
        self._seqs.append(self._last)
        row.changes.append(change)

    def stop(self, submission_id: str, wish: StopWish, outcome: Outcome, now: Moment) -> Job:
        """Ask for a stop."""
        return self._step("stop", submission_id, lambda job: steps.stop(job, wish, outcome), now)

    def suspend(self, submission_id: str, label: str, now: Moment) -> Job:
        """Ask for suspension."""
        return self._step("suspend", submission_id, lambda job: steps.suspend(job, label, now), now)

    def resume(self, submission_id: str, label: str, now: Moment) -> Job:
        """Take that back."""
        return self._step("resume", submission_id, lambda job: steps.resume(job, label, now), now)

    def delete(self, submission_id: str, *, force: bool = False) -> None:
        """Forget a terminal job."""
        with self._write("delete"):
            row = self._row(submission_id)
            why = asking.no_longer(row.job, waiting=sorted(row.waiting), untold=row.untold and not force)
            if why is not None:
                raise why
            del self._rows[submission_id]
            if row.expires_at is not None:
                del self._expiring[bisect_left(self._expiring, (row.expires_at, row.job.place))]

    def begin(self, submission_id: str, deadline: Moment | None, now: Moment) -> Job | None:
        """Keep that its next attempt is about to be started."""
        with self._write("begin"):
            row = self._row(submission_id)
            step = steps.begin(row.job, deadline)
            return None if step is None else self._apply(row, step, now)

    def started(self, submission_id: str, number: int, saved: Mapping[str, Any], at: float, now: Moment) -> Job:
        """Its active attempt runs."""
        return self._step("started", submission_id, lambda job: steps.started(job, number, saved, at), now)

    def retry(
        self, submission_id: str, number: int, outcome: Outcome, tally: Tally, due: Moment, why: str, now: Moment
    ) -> Job:
        """Its active attempt has ended, and another one is to come."""
        return self._step(
            "retry", submission_id, lambda job: steps.retry(job, number, outcome, tally, due, why, now), now
        )

    def suspended(self, submission_id: str, number: int, outcome: Outcome, now: Moment) -> Job:
        """Its active attempt was ended to suspend it."""
        return self._step("suspended", submission_id, lambda job: steps.suspended(job, number, outcome, now), now)

    def park(self, submission_id: str, now: Moment) -> Job:
        """SUSPENDED, where nothing runs and that is asked for; else nothing is changed."""
        return self._step("park", submission_id, lambda job: steps.park(job, now), now)

    def decide(self, submission_id: str, number: int | None, outcome: Outcome, tally: Tally | None, now: Moment) -> Job:
        """The terminal state."""
        return self._step("decide", submission_id, lambda job: steps.decide(job, number, outcome, tally), now)

    def _step(self, method: str, submission_id: str, step_of: Callable[[Job], steps.Step], now: Moment) -> Job:
        with self._write(method):
            row = self._row(submission_id)
            if row.outcome is not None:
                state = row.outcome.state.value
                raise AlreadyDecidedError(
                    f"submission {submission_id} is {state} already, and that is final.", self.outcome(submission_id)
                )
            step = step_of(row.job)
            return row.job if step is steps.NOTHING else self._apply(row, step, now)

    def _apply(self, row: _Row, step: steps.Step, now: Moment) -> Job:
        before = row.job
        changes = dict(step.changes)
        if step.kind is not None:
            changes["seq"] = self._last + 1
        end, decided = step.end, step.decided
        if end is not None and decided is None:
            row.ends[end.number] = end.outcome
            row.saved[end.number] = before.saved or {}
            if before.submission.app_id is not None:
                changes["submission"] = replace(before.submission, app_id=None)
        if decided is not None:
            if end is not None:
                row.ends[end.number] = decided
            self._decided(row, decided, changes, now)
        job = row.job = replace(before, **changes)
        if job.attempt != before.attempt:
            row.attempts.append(Attempt(job.submission_id, job.attempt, now.wall))
        if step.kind is not None:
            self._change(row, step.kind, step.detail, now)
        return job

    def _decided(self, row: _Row, outcome: Outcome, changes: dict[str, Any], now: Moment) -> None:
        job = row.job
        row.outcome, row.context, row.untold = outcome, Context(), bool(job.submission.sinks)
        if outcome.app_id is not None:
            changes["submission"] = replace(job.submission, app_id=outcome.app_id)
        if job.request.ttl_after_finished is not None:
            row.expires_at = now.wall + max(job.request.ttl_after_finished, LEAST_KEPT)
            insort(self._expiring, (row.expires_at, job.place, job.submission_id))
        for dependency in job.request.after:
            self._rows[dependency.submission_id].waiting.discard(job.submission_id)
        del self._unfinished[job.submission_id]

    def job(self, submission_id: str) -> Job | None:
        """The job; None if there is none of that id."""
        row = self._rows.get(submission_id)
        return None if row is None else row.job

    def outcome(self, submission_id: str) -> Outcome | None:
        """How it ended, with the app id that is known by now; None while that is undecided."""
        row = self._rows.get(submission_id)
        if row is None or row.outcome is None:
            return None
        return replace(row.outcome, app_id=row.job.submission.app_id)

    def unfinished(self) -> list[Job]:
        """All that are not terminal, by place."""
        return [row.job for row in self._unfinished.values()]

    def unreadable(self, since: int = 0) -> list[tuple[str, str]]:  # noqa: ARG002 - the contract's
        """There are none here."""
        return []

    def changed(self, since: int) -> list[Job]:
        """All whose last change came after number SINCE, by that."""
        found = []
        for change in self._changes[bisect_right(self._seqs, since) :]:
            row = self._rows.get(change.submission_id)
            if row is not None and row.job.seq == change.seq:
                found.append(row.job)
        return found

    def changes(self, since: int, submission_id: str | None = None, limit: int = 1000) -> list[Change]:
        """The changes after number SINCE, oldest first."""
        if submission_id is not None:
            row = self._rows.get(submission_id)
            return [] if row is None else [change for change in row.changes if change.seq > since][:limit]
        found: list[Change] = []
        for change in self._changes[bisect_right(self._seqs, since) :]:
            row = self._rows.get(change.submission_id)
            # One of that id may have been forgotten, and another one submitted.
            if row is not None and row.job.place <= change.seq:
                found.append(change)
                if len(found) == limit:
                    break
        return found

    def last_seq(self) -> int:
        """The number of the last change there was; 0 none."""
        return self._last

    def context(self, submission_id: str) -> Context:
        """What it has from its submitter; emptied when it is terminal."""
        return self._row(submission_id).context

    def history(self, submission_id: str) -> list[tuple[Attempt, Outcome | None]]:
        """Its attempts, oldest first, with their ends."""
        row = self._row(submission_id)
        ends = dict(row.ends)
        if row.outcome is not None and row.attempts and ends.get(row.job.attempt) is row.outcome:
            ends[row.job.attempt] = replace(row.outcome, app_id=row.job.submission.app_id)
        return [(attempt, ends.get(attempt.number)) for attempt in row.attempts]

    def remains(self, submission_id: str) -> list[tuple[Attempt, Mapping[str, Any]]]:
        """Its attempts, oldest first, with what their backends saved."""
        row = self._row(submission_id)
        last = {row.job.attempt: row.job.saved or {}}
        return [(attempt, (last | row.saved)[attempt.number]) for attempt in row.attempts]

    def capacity(self) -> Capacity:
        """What was set."""
        return self._capacity

    def set_capacity(self, capacity: Capacity) -> None:
        """Keep what there is to give."""
        capacity.check()
        with self._write("set_capacity"):
            self._capacity = capacity

    def waiting_for(self, submission_id: str) -> list[str]:
        """The ids of the undecided jobs that are to come after it."""
        row = self._rows.get(submission_id)
        return [] if row is None else sorted(row.waiting)

    def next_expiry(self, now: Moment) -> float | None:
        """Seconds from NOW until the next terminal job's time is over; None: of no more jobs."""
        return next((at - now.wall for at, _, _ in self._expiring if at > now.wall), None)

    def expired(self, now: Moment, limit: int = 100) -> list[str]:
        """The terminal jobs whose time is over, whose reports are all told, and that no job waits for; oldest first."""
        found: list[str] = []
        for expires_at, _, submission_id in self._expiring:
            if expires_at > now.wall or len(found) == limit:
                break
            row = self._rows[submission_id]
            if not row.untold and not row.waiting:
                found.append(submission_id)
        return found

    def bind(self, submission_id: str, app_id: str) -> None:
        """Note the cluster's name for it, as the store does."""
        row = self._row(submission_id)
        row.job = replace(row.job, submission=replace(row.job.submission, app_id=app_id))

    def told(self, submission_id: str) -> None:
        """Have its reports told."""
        self._row(submission_id).untold = False
