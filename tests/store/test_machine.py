"""Any order of calls, any clock, any death: the store does what a plain dictionary says."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from store.making import ended, submission

from raydp_wrap.errors import AlreadyDecidedError, UsageError
from raydp_wrap.model import Outcome, Submission, TerminalState
from raydp_wrap.store import Claimer, Delivery, DeliveryStatus, Store

JOBS = st.sampled_from(["a", "b", "c"])
SINKS = st.lists(st.sampled_from(["file:x", "webhook:y", "exec:z"]), max_size=4).map(tuple)
STATES = st.sampled_from([TerminalState.FINISHED, TerminalState.FAILED, TerminalState.KILLED])
APP_IDS = st.sampled_from(["app-1", "app-2"])
CLAIMERS = st.sampled_from([1, 2])
LEASES = st.sampled_from([1.0, 30.0, 3600.0])
DAY = 86400.0


@dataclass
class Row:
    """One report, as it should stand."""

    position: int
    next_try_at: float
    status: DeliveryStatus = DeliveryStatus.PENDING
    tries: int = 0
    claim: tuple[str, int, float] | None = None  # token, whose, until when


@dataclass
class Job:
    """One submission, as it should stand."""

    asked: Submission
    attempts: int = 1
    app_id: str | None = None
    outcome: Outcome | None = None
    rows: dict[str, Row] = field(default_factory=dict)


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp(prefix="raydp-wrap-machine-"))
        self.now = 1_800_000_000.0
        self.jobs: dict[str, Job] = {}
        self.claims: list[Delivery] = []
        self.dead: set[int] = set()
        # A process that has died is another one when it comes again.
        self.patch = mock.patch.object(Claimer, "is_dead", lambda claimer: claimer.pid in self.dead)
        self.patch.start()
        self.pids = {1: 1, 2: 2}
        self.store = Store(self.home)

    def teardown(self) -> None:
        self.store.close()
        self.patch.stop()
        shutil.rmtree(self.home)

    def claimer(self, which: int) -> Claimer:
        return Claimer("boot", 1, 1, self.pids[which], 1)

    @rule(job=JOBS, sinks=SINKS)
    def submit(self, job: str, sinks: tuple[str, ...]) -> None:
        asked = submission(job, sinks)
        if job in self.jobs:
            with pytest.raises(UsageError):
                self.store.submit(asked)
        else:
            assert self.store.submit(asked).number == 1
            self.jobs[job] = Job(asked)

    @rule(job=JOBS)
    def add_attempt(self, job: str) -> None:
        known = self.jobs.get(job)
        if known is None or known.outcome is not None:
            with pytest.raises(UsageError if known is None else AlreadyDecidedError):
                self.store.add_attempt(job)
        else:
            known.attempts += 1
            assert self.store.add_attempt(job).number == known.attempts

    @rule(job=JOBS, state=STATES, app_id=st.none() | APP_IDS, which=st.none() | CLAIMERS, lease=LEASES)
    def finish(self, job: str, state: TerminalState, app_id: str | None, which: int | None, lease: float) -> None:
        known = self.jobs.get(job)
        outcome = ended(job, state, app_id=app_id)
        claimer = None if which is None else self.claimer(which)
        if known is None:
            with pytest.raises(UsageError):
                self.store.finish(outcome, claimer=claimer, lease=lease, now=self.now)
            return
        if known.outcome is not None:
            with pytest.raises(AlreadyDecidedError) as caught:
                self.store.finish(outcome, claimer=claimer, lease=lease, now=self.now)
            assert caught.value.outcome == replace(known.outcome, app_id=known.app_id)
            return
        claims = self.store.finish(outcome, claimer=claimer, lease=lease, now=self.now)
        known.app_id = app_id or known.app_id
        known.outcome = outcome
        known.rows = {
            sink: Row(position, self.now) for position, sink in enumerate(dict.fromkeys(known.asked.sinks), 1)
        }
        self.took(claims, list(known.rows) if which is not None else [], job, which, lease)

    def took(self, claims: list[Delivery], sinks: list[str], job: str, which: int | None, lease: float) -> None:
        assert [claim.sink for claim in claims if claim.submission_id == job] == sinks
        for claim in claims:
            if claim.submission_id != job:
                continue
            assert which is not None
            row = self.jobs[job].rows[claim.sink]
            if row.status is DeliveryStatus.FAILED:
                row.status, row.tries = DeliveryStatus.PENDING, 0
            outcome = self.jobs[job].outcome
            assert outcome is not None
            assert claim.outcome == replace(outcome, app_id=self.jobs[job].app_id)
            assert claim.tries == row.tries
            assert claim.key == f"{job}.{row.position}"
            row.tries += 1
            row.claim = (claim.token, self.pids[which], self.now + lease)
            self.claims.append(claim)

    @rule(job=JOBS, app_id=APP_IDS)
    def bind(self, job: str, app_id: str) -> None:
        known = self.jobs.get(job)
        fixed = known is not None and known.outcome is not None and known.app_id not in (None, app_id)
        if known is None or fixed:
            with pytest.raises(UsageError):
                self.store.bind(job, app_id, now=self.now)
            return
        assert self.store.bind(job, app_id, now=self.now) == (known.app_id != app_id)
        if known.app_id != app_id:
            known.app_id = app_id
            for row in known.rows.values():
                if row.status is DeliveryStatus.PENDING and row.claim is None:
                    row.next_try_at = min(row.next_try_at, self.now)

    def free(self, row: Row, *, retry_failed: bool) -> bool:
        if row.status is DeliveryStatus.FAILED:
            return retry_failed
        if row.status is not DeliveryStatus.PENDING:
            return False
        if row.claim is None:
            return not self.now < row.next_try_at <= self.now + DAY
        _, whose, until = row.claim
        return whose in self.dead or not self.now < until <= self.now + 3600

    @rule(
        which=CLAIMERS, job=st.none() | JOBS, lease=LEASES, retry_failed=st.booleans(), limit=st.sampled_from([1, 100])
    )
    def claim(self, which: int, job: str | None, lease: float, retry_failed: bool, limit: int) -> None:  # noqa: FBT001
        due = sorted(
            (row.next_try_at, name, row.position, sink)
            for name, known in self.jobs.items()
            for sink, row in known.rows.items()
            if job in (None, name) and self.free(row, retry_failed=retry_failed)
        )[:limit]
        claims = self.store.claim(
            self.claimer(which), submission_id=job, lease=lease, now=self.now, retry_failed=retry_failed, limit=limit
        )
        assert [(claim.submission_id, claim.sink) for claim in claims] == [(name, sink) for _, name, _, sink in due]
        for name in {name for _, name, _, _ in due}:
            self.took(claims, [sink for _, of, _, sink in due if of == name], name, which, lease)

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), status=st.sampled_from(DeliveryStatus), after=st.sampled_from([None, 0.0, 60.0, 3600.0]))
    def settle(self, data: Any, status: DeliveryStatus, after: float | None) -> None:
        claim = data.draw(st.sampled_from(self.claims))
        known = self.jobs[claim.submission_id]
        row = known.rows[claim.sink]
        holds = row.claim is not None and row.claim[0] == claim.token
        again = None if after is None else self.now + after
        assert self.store.settle(claim, status, next_try_at=again, now=self.now) == holds
        if holds:
            row.status, row.claim = status, None
            bound_since = claim.outcome.app_id is None and known.app_id is not None
            put_off = status is DeliveryStatus.PENDING and not bound_since and after is not None
            row.next_try_at = self.now + (after or 0.0) if put_off else self.now

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def release(self, data: Any) -> None:
        claim = data.draw(st.sampled_from(self.claims))
        row = self.jobs[claim.submission_id].rows[claim.sink]
        self.store.release([claim], now=self.now)
        if row.claim is not None and row.claim[0] == claim.token:
            row.claim = None
            row.tries -= 1

    @rule(seconds=st.sampled_from([0.5, 29.0, 60.0, 4000.0, -60.0, -2 * DAY, 2 * DAY]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(which=CLAIMERS)
    def dies(self, which: int) -> None:
        self.dead.add(self.pids[which])
        self.pids[which] += 2

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = Store(self.home)

    @invariant()
    def all_is_as_it_should_be(self) -> None:
        for name in ("a", "b", "c"):
            known = self.jobs.get(name)
            if known is None:
                assert self.store.submission(name) is None
                continue
            assert self.store.submission(name) == replace(known.asked, app_id=known.app_id)
            assert len(self.store.attempts(name)) == known.attempts
            outcome = None if known.outcome is None else replace(known.outcome, app_id=known.app_id)
            assert self.store.outcome(name) == outcome
        undecided = {name for name, known in self.jobs.items() if known.outcome is None}
        assert {each.submission_id for each in self.store.undecided()} == undecided
        assert {
            (row.submission_id, row.sink): (row.status, row.tries, row.next_try_at, row.claimed)
            for row in self.store.undelivered()
        } == {
            (name, sink): (row.status, row.tries, row.next_try_at, row.claim is not None)
            for name, known in self.jobs.items()
            for sink, row in known.rows.items()
            if row.status is not DeliveryStatus.DELIVERED
        }
        due = self.store.next_due(self.now)
        pending = [
            row for known in self.jobs.values() for row in known.rows.values() if row.status is DeliveryStatus.PENDING
        ]
        assert (due is None) == (not pending)
        if any(row.claim is None and self.free(row, retry_failed=False) for row in pending):
            assert due is not None
            assert due <= self.now


class TestMachine(Machine.TestCase):  # type: ignore[name-defined,misc]
    pytestmark = pytest.mark.requirement("store-2.3", "store-2.2")
    settings = settings(
        max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
