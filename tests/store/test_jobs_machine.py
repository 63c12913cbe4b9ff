"""Any order of calls: the store does what the jobs in memory do, and both keep what must always be true."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from store.job_making import CONTEXT, NOW, WISH, request
from store.making import ended, submission

from raydp_wrap.errors import AlreadyDecidedError, RaydpWrapError
from raydp_wrap.job import TRANSITIONS, Capacity, ChangeKind, Job, Tally
from raydp_wrap.model import Outcome, TerminalState
from raydp_wrap.request import Condition, Context, Dependency, Phase
from raydp_wrap.store import Claimer, DeliveryStatus, Settlement, Store
from raydp_wrap.testing import FakeJobs

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = ("a", "b", "c")
JOBS = st.sampled_from(NAMES)
ENDS = st.sampled_from([TerminalState.FINISHED, TerminalState.FAILED, TerminalState.KILLED])
TALLIES = st.sampled_from([Tally.FAILED, Tally.IGNORED, Tally.SUSPENDED, Tally.STOPPED])
LABELS = st.sampled_from(["", "me"])
OFF = st.sampled_from([0, 0, 0, 0, 0, 0, -1, 1])
DEPENDENCIES = [Dependency("a"), Dependency("a", Condition.ANY), Dependency("b", Condition.ANY), Dependency("none")]
REQUESTS = st.builds(
    request,
    after=st.sampled_from([(), (), (), *((one,) for one in DEPENDENCIES)]),
    cpus=st.sampled_from([0.0, 0.0, 0.0, 3.0]),
    slots=st.sampled_from([{}, {}, {}, {}, {"gpu": 1.0}]),
    suspend=st.sampled_from([False, False, False, True]),
    ttl_after_finished=st.sampled_from([None, 0.0, 30.0]),
)
WISHES = st.lists(st.sampled_from(["suspend", "suspend", "resume", "stop", "bind", "bind"]), max_size=3)


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp(prefix="raydp-wrap-jobs-"))
        self.store = Store(self.home)
        self.fake = FakeJobs()
        self.now = NOW
        self.seq = 0
        self.counted: dict[str, Counter[Tally]] = {}
        self.first_end: dict[str, Outcome | None] = {}

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.home)

    def both(self, do: Callable[[Any], Any]) -> Any:
        """What both return; None where both raised the same."""
        results: list[Any] = []
        for jobs in (self.store.jobs, self.fake):
            try:
                results.append(do(jobs))
            except (RaydpWrapError, ValueError) as error:
                results.append((type(error), str(error), getattr(error, "outcome", None)))
        assert results[0] == results[1]
        failed = isinstance(results[0], tuple) and isinstance(results[0][0], type)
        return None if failed else results[0]

    def attempt(self, name: str, off: int) -> int:
        job = self.fake.job(name)
        return (job.attempt if job else 1) + off

    def count(self, result: object, name: str, tally: Tally | None) -> None:
        if isinstance(result, Job) and tally is not None:
            self.counted[name][tally] += 1

    @rule(name=JOBS, asked=REQUESTS, sinks=st.sampled_from([(), ("file:x",)]))
    def submit(self, name: str, asked: Any, sinks: tuple[str, ...]) -> None:
        result = self.both(lambda jobs: jobs.submit(submission(name, sinks), asked, CONTEXT, self.now))
        if result is not None and result[1]:
            self.counted[name], self.first_end[name] = Counter(), None

    @initialize(asked=REQUESTS)
    def one_is_there(self, asked: Any) -> None:
        self.submit("a", replace(asked, after=(), slots={}), ("file:x",))

    @rule(
        name=JOBS,
        seconds=st.none() | st.just(60.0),
        seen=st.booleans(),
        wishes=WISHES,
        tally=st.sampled_from(Tally),
        last=st.sampled_from([False, False, True]),
    )
    def attempt_of(  # an order that makes sense: most others are refused
        self,
        name: str,
        seconds: float | None,
        seen: bool,  # noqa: FBT001
        wishes: list[str],
        tally: Tally,
        last: bool,  # noqa: FBT001
    ) -> None:
        there = self.fake.job(name)
        if there is None or there.phase.terminal:
            self.delete(name, force=True)
            self.submit(name, request(ttl_after_finished=seconds), ("file:x",))
        if there is not None and there.suspend:
            self.resume(name, "")
        self.begin(name, seconds)
        if seen:
            self.started(name, 0, {"pid": 7})
        for wish in wishes:
            if wish == "stop":
                self.stop(name, "", None)
            elif wish == "bind":
                self.bind(name, "app-3")
            else:
                getattr(self, wish)(name, "me")
            self.now = self.now.after(1)
        if last:
            state = TerminalState.FINISHED if tally is Tally.SUCCEEDED else TerminalState.FAILED
            self.decide(name, 0, state, tally, attempted=True)
        elif tally is Tally.SUSPENDED:
            self.suspended(name, 0)
        elif tally in (Tally.FAILED, Tally.IGNORED):
            self.retry(name, 0, tally, None)

    @rule(name=JOBS, seconds=st.none() | st.just(60.0))
    def begin(self, name: str, seconds: float | None) -> None:
        self.both(lambda jobs: jobs.begin(name, None if seconds is None else self.now.after(seconds), self.now))

    @rule(name=JOBS, off=OFF, saved=st.sampled_from([{"pid": 1}, {"pid": 2, "deep": {"x": [1, None]}}]))
    def started(self, name: str, off: int, saved: dict[str, Any]) -> None:
        number = self.attempt(name, off)
        self.both(lambda jobs: jobs.started(name, number, saved, self.now.wall, self.now))

    @rule(name=JOBS, off=OFF, tally=TALLIES, app_id=st.none() | st.just("app-9"))
    def retry(self, name: str, off: int, tally: Tally, app_id: str | None) -> None:
        number, due, outcome = self.attempt(name, off), self.now.after(10), ended(name, diagnostics="x" * 5000)
        result = self.both(
            lambda jobs: jobs.retry(name, number, replace(outcome, app_id=app_id), tally, due, "why", self.now)
        )
        self.count(result, name, tally)

    @rule(name=JOBS, off=OFF)
    def suspended(self, name: str, off: int) -> None:
        number = self.attempt(name, off)
        result = self.both(lambda jobs: jobs.suspended(name, number, ended(name, TerminalState.KILLED), self.now))
        self.count(result, name, Tally.SUSPENDED)

    @rule(name=JOBS, off=OFF, state=ENDS, tally=TALLIES, attempted=st.sampled_from([True, True, False]))
    def decide(
        self,
        name: str,
        off: int,
        state: TerminalState,
        tally: Tally,
        attempted: bool,  # noqa: FBT001
    ) -> None:
        number = self.attempt(name, off) if attempted else None
        counts = None if not attempted else Tally.SUCCEEDED if state is TerminalState.FINISHED else tally
        result = self.both(lambda jobs: jobs.decide(name, number, ended(name, state), counts, self.now))
        self.count(result, name, counts)

    @rule(name=JOBS, state=ENDS, tally=st.none() | st.sampled_from(Tally))
    def decide_anything(self, name: str, state: TerminalState, tally: Tally | None) -> None:
        number = self.attempt(name, 0)
        result = self.both(lambda jobs: jobs.decide(name, number, ended(name, state), tally, self.now))
        self.count(result, name, tally)

    @rule(name=JOBS, label=LABELS, grace=st.sampled_from([None, 0.0, 5.0, 20.0]))
    def stop(self, name: str, label: str, grace: float | None) -> None:
        wish = replace(WISH, label=label, grace=grace)
        self.both(lambda jobs: jobs.stop(name, wish, ended(name, TerminalState.KILLED), self.now))

    @rule(name=JOBS, label=LABELS)
    def suspend(self, name: str, label: str) -> None:
        self.both(lambda jobs: jobs.suspend(name, label, self.now))

    @rule(name=JOBS, label=LABELS)
    def resume(self, name: str, label: str) -> None:
        self.both(lambda jobs: jobs.resume(name, label, self.now))

    @rule(name=JOBS)
    def park(self, name: str) -> None:
        self.both(lambda jobs: jobs.park(name, self.now))

    @rule(name=JOBS, force=st.booleans())
    def delete(self, name: str, force: bool) -> None:  # noqa: FBT001
        self.both(lambda jobs: jobs.delete(name, force=force))

    @rule(name=JOBS, app_id=st.sampled_from(["app-1", "app-2"]))
    def bind(self, name: str, app_id: str) -> None:
        job = self.fake.job(name)
        if job is not None and not job.phase.terminal:
            self.store.bind(name, app_id)
            self.fake.bind(name, app_id)

    @rule(name=JOBS)
    def told(self, name: str) -> None:
        if self.fake.job(name) is not None:
            claims = self.store.claim(Claimer.of_this_process(), submission_id=name, now=self.now.wall + 1)
            self.store.settle_all([Settlement(claim, DeliveryStatus.DELIVERED) for claim in claims])
            if self.fake.outcome(name) is not None:
                self.fake.told(name)

    @rule(capacity=st.sampled_from([Capacity(), Capacity(2, {"cpus": 2.0}), Capacity(None, {"cpus": 4.0, "gpu": 1.0})]))
    def set_capacity(self, capacity: Capacity) -> None:
        self.both(lambda jobs: jobs.set_capacity(capacity))

    @rule(seconds=st.sampled_from([0.5, 20.0, 4000.0]))
    def time_passes(self, seconds: float) -> None:
        self.now = self.now.after(seconds)

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = Store(self.home)

    @invariant()
    def both_show_the_same(self) -> None:
        for look in (
            lambda jobs: jobs.unfinished(),
            lambda jobs: jobs.changed(0),
            lambda jobs: jobs.changed(self.seq),
            lambda jobs: jobs.changes(0),
            lambda jobs: jobs.changes(self.seq, None, 2),
            lambda jobs: jobs.last_seq(),
            lambda jobs: jobs.capacity(),
            lambda jobs: jobs.expired(self.now, 2),
        ):
            self.both(look)
        for name in NAMES:
            self.both(lambda jobs, name=name: [jobs.job(name), jobs.outcome(name), list(jobs.waiting_for(name))])
            self.both(lambda jobs, name=name: [jobs.history(name), jobs.remains(name), jobs.context(name)])
            self.both(lambda jobs, name=name: jobs.changes(1, name, 3))
        assert self.store.undecided() == []
        assert sum(self.store.jobs.counts().values()) == len(self.fake.changed(0))

    @invariant()
    def seq_grows(self) -> None:
        changes = self.store.jobs.changes(0)
        assert [one.seq for one in changes] == sorted({one.seq for one in changes})
        last = self.store.jobs.last_seq()
        assert last >= self.seq
        self.seq = last

    @invariant()
    def every_job_is_in_order(self) -> None:
        for name in NAMES:
            job = self.store.jobs.job(name)
            if job is None:
                continue
            changes = self.store.jobs.changes(0, name)
            assert job.seq == changes[-1].seq
            assert job.phase is changes[-1].phase
            for before, after in itertools.pairwise(changes):
                assert after.phase is before.phase or after.phase in TRANSITIONS[before.phase]
            outcome = self.store.jobs.outcome(name)
            assert [one.kind for one in changes].count(ChangeKind.ENDED) == (outcome is not None)
            assert (outcome is not None) == job.phase.terminal
            if outcome is not None:
                assert outcome.state.value == job.phase.value
                assert self.store.jobs.context(name) == Context()
                stands = self.first_end[name] or outcome
                assert outcome == stands
                self.first_end[name] = stands
                with pytest.raises(AlreadyDecidedError):
                    self.store.jobs.suspend(name, "", self.now)

    @invariant()
    def counters_are_exact(self) -> None:
        for name in NAMES:
            job = self.store.jobs.job(name)
            if job is None:
                continue
            counted = self.counted[name]
            assert (job.succeeded, job.failed, job.ignored, job.suspended) == tuple(
                counted[tally] for tally in (Tally.SUCCEEDED, Tally.FAILED, Tally.IGNORED, Tally.SUSPENDED)
            )
            assert (job.succeeded == 1) == (job.phase is Phase.FINISHED)
            # Attempts never overlap: all but an active one have ended, and each counts once.
            assert sum(counted.values()) == job.attempt - job.active


class TestMachine(Machine.TestCase):  # type: ignore[name-defined,misc]
    pytestmark = pytest.mark.requirement("jobs-1.1", "retry-rule-5", "retry-rule-11")
    settings = settings(
        max_examples=20, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )


@pytest.mark.slow
class TestLong(Machine.TestCase):  # type: ignore[name-defined,misc]
    settings = settings(
        max_examples=100, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
