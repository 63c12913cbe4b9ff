"""Those of the thirteen rules for retries that show only where supervisor, store and backend work together."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any

import pytest

from raydp_wrap import outcome as outcomes
from raydp_wrap import retry
from raydp_wrap.backend import Observation
from raydp_wrap.errors import AlreadyDecidedError, UsageError
from raydp_wrap.job import TRANSITIONS, ChangeKind, StopWish, Tally
from raydp_wrap.model import Evidence, Rank, Reason, Submission, TerminalState
from raydp_wrap.moment import Moment
from raydp_wrap.request import Context, FailureRule, Phase, Request, RetryPolicy, RuleAction
from raydp_wrap.store import Store
from raydp_wrap.supervisor.at_home import AtHome
from raydp_wrap.supervisor.loop import Supervisor
from raydp_wrap.testing import AppId, FakeBackend, Script

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from raydp_wrap.job import Job
    from raydp_wrap.model import Attempt, Launch, Limits, Outcome

LIMIT = 60.0
POLICY = RetryPolicy(2, backoff_first=0.01)


class Scripted(AtHome):
    """A home's world whose only backend does what a script says, and that can be seen at work."""

    def __init__(self, store: Store, home: Path, backend: FakeBackend) -> None:
        self.told: list[str] = []
        super().__init__(store, home, self.told.append)
        self._backends["local"] = backend


class Supervised:
    """A store, a supervisor, and a backend that is scripted."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store = Store(path)
        self.jobs = self.store.jobs

    def submit(self, name: str = "job", **request: Any) -> Job:
        asked = Request(("work",), **request)
        submission = Submission(name, name, time.time(), asked.sinks)
        return self.jobs.submit(submission, asked, Context(), Moment.now())[0]

    def supervise(self, backend: FakeBackend, holds: Callable[[], object]) -> None:
        """Until HOLDS."""

        async def main() -> None:
            supervisor = Supervisor(self.jobs, Scripted(self.store, self.path, backend))
            task = asyncio.ensure_future(supervisor.run())
            end = time.monotonic() + LIMIT
            try:
                while not holds():
                    assert time.monotonic() < end, self.jobs.changed(0)
                    await asyncio.sleep(0.002)
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

        asyncio.run(main())

    def job(self, name: str = "job") -> Job:
        found = self.jobs.job(name)
        assert found is not None
        return found

    def end(self, backend: FakeBackend, name: str = "job") -> Job:
        """Supervise until it has ended."""
        self.supervise(backend, lambda: self.job(name).phase.terminal)
        return self.job(name)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Supervised]:
    place = tmp_path / "home"
    place.mkdir(0o700)
    one = Supervised(place)
    yield one
    one.store.close()


@pytest.mark.requirement("retry-rule-1", "retry-rule-4")
def test_one_decision_for_each_failed_attempt_and_one_write(home: Supervised, monkeypatch: pytest.MonkeyPatch) -> None:
    """Right before that write: nothing else is written in between."""
    happened: list[str] = []
    decide = retry.decide

    def decided(*arguments: Any, **words: Any) -> retry.Decision:
        happened.append(f"decided at {home.jobs.last_seq()}")
        return decide(*arguments, **words)

    monkeypatch.setattr(retry, "decide", decided)
    home.submit(retry=POLICY)
    job = home.end(FakeBackend(Script(code=3)))
    changes = home.jobs.changes(0, "job")
    ends = [one for one in changes if one.kind in (ChangeKind.RETRYING, ChangeKind.ENDED)]
    assert happened == [f"decided at {one.seq - 1}" for one in ends]
    assert [one.phase for one in ends] == [Phase.RETRYING, Phase.RETRYING, Phase.FAILED]
    assert (job.attempt, job.failed) == (3, 3), "the last one counts, too"


def wish() -> StopWish:
    return StopWish(time.time(), os.getpid(), os.getuid())


def outcome_of(job: Job, state: TerminalState, code: int) -> Outcome:
    seen = Evidence("wait status", "it exited", Rank.WAIT_STATUS, time.time(), state, code)
    return outcomes.decide([seen], job.submission, attempt=max(1, job.attempt))


@pytest.mark.requirement("retry-rule-2")
@pytest.mark.parametrize("phase", [Phase.FINISHED, Phase.FAILED, Phase.KILLED])
def test_no_way_leads_out_of_a_terminal_state(home: Supervised, phase: Phase) -> None:
    """Whatever a client or a supervisor asks for: it raises, and nothing has changed."""
    home.submit(retry=POLICY if phase is Phase.FINISHED else RetryPolicy())
    if phase is Phase.KILLED:
        home.jobs.stop("job", wish(), outcome_of(home.job(), TerminalState.KILLED, 143), Moment.now())
    else:
        home.end(FakeBackend(Script(code=0 if phase is Phase.FINISHED else 1)))
    job, jobs, now = home.job(), home.jobs, Moment.now()
    assert job.phase is phase
    assert TRANSITIONS[phase] == frozenset()
    before = job, jobs.last_seq(), jobs.outcome("job"), jobs.history("job")
    failed, finished = (outcome_of(job, state, code) for state, code in
                        ((TerminalState.FAILED, 1), (TerminalState.FINISHED, 0)))  # fmt: skip
    tries: list[Callable[[], object]] = [
        lambda: jobs.stop("job", wish(), failed, now),
        lambda: jobs.suspend("job", "", now),
        lambda: jobs.resume("job", "", now),
        lambda: jobs.started("job", job.attempt, {}, now.wall, now),
        lambda: jobs.retry("job", job.attempt, failed, Tally.FAILED, now, "", now),
        lambda: jobs.suspended("job", job.attempt, failed, now),
        lambda: jobs.park("job", now),
        lambda: jobs.decide("job", job.attempt, failed, Tally.FAILED, now),
        lambda: jobs.decide("job", job.attempt, finished, Tally.SUCCEEDED, now),
        lambda: jobs.decide("job", None, failed, None, now),
    ]
    for number, attempt in enumerate(tries):
        with pytest.raises(AlreadyDecidedError):
            attempt()
        assert (home.job(), jobs.last_seq(), jobs.outcome("job"), jobs.history("job")) == before, number
    assert jobs.begin("job", None, now) is None
    assert home.job() == before[0]


@pytest.mark.requirement("retry-rule-3", "retry-rule-12")
@pytest.mark.parametrize(
    ("which", "reason"),
    [
        ("active_deadline", Reason.DEADLINE_EXCEEDED),
        ("attempt_deadline", Reason.ATTEMPT_DEADLINE_EXCEEDED),
        ("start_timeout", Reason.START_TIMEOUT),
    ],
)
def test_no_deadline_is_retried_whatever_its_policy_says(home: Supervised, which: str, reason: Reason) -> None:
    rules = (FailureRule(RuleAction.IGNORE, reasons=(reason,)),)
    home.submit(retry=RetryPolicy(5, backoff_first=0.01, rules=rules), grace=0.1, **{which: 0.05})
    job = home.end(StartsLate() if which == "start_timeout" else FakeBackend(Script(heeds_stop=False)))
    assert (job.phase, job.reason, job.attempt, job.failed) == (Phase.FAILED, reason.value, 1, 1)


class Delaying:
    """One attempt, which is never seen to be up."""

    def __init__(self, running: Any) -> None:
        self._running = running

    def __getattr__(self, name: str) -> Any:
        return getattr(self._running, name)

    async def observe(self) -> AsyncIterator[Observation]:
        async for seen in self._running.observe():
            if seen.ended:
                yield seen


class StartsLate(FakeBackend):
    """Its attempts never come up."""

    def __init__(self) -> None:
        super().__init__(Script())

    async def launch(self, attempt: Attempt, launch: Launch, limits: Limits) -> Any:
        return Delaying(await super().launch(attempt, launch, limits))


class Cluster(FakeBackend):
    """Runs a submitter; TRUTH is what the cluster says of the job, whatever became of the submitter."""

    def __init__(self, script: Script, truth: TerminalState) -> None:
        super().__init__(script)
        self.truth = truth

    async def launch(self, attempt: Attempt, launch: Launch, limits: Limits) -> Any:
        return Told(await super().launch(attempt, launch, limits), self.truth)


class Told(Delaying):
    """One attempt, and what the cluster says of it."""

    def __init__(self, running: Any, truth: TerminalState) -> None:
        super().__init__(running)
        self._truth = truth

    async def observe(self) -> AsyncIterator[Observation]:
        async for seen in self._running.observe():
            if not seen.ended:
                yield seen
                continue
            code = 0 if self._truth is TerminalState.FINISHED else 1
            said = Evidence("cluster", f"it is {self._truth.value}", Rank.CLUSTER, time.time(), self._truth, code)
            yield Observation(ended=True, evidence=(*seen.evidence, said), started_at=seen.started_at)


@pytest.mark.requirement("retry-rule-9", "retry-rule-11")
def test_the_submitter_failed_and_the_job_succeeded(home: Supervised) -> None:
    """It is a success: not retried, and not counted as failed."""
    home.submit(retry=POLICY)
    job = home.end(Cluster(Script(code=1), TerminalState.FINISHED))
    assert (job.phase, job.exit_code, job.attempt, job.succeeded, job.failed) == (Phase.FINISHED, 0, 1, 1, 0)
    found = home.jobs.outcome("job")
    assert found is not None
    assert {one.source for one in found.evidence} >= {"cluster"}


@pytest.mark.requirement("retry-rule-9")
def test_the_submitter_succeeded_and_the_job_failed(home: Supervised) -> None:
    home.submit(retry=POLICY)
    job = home.end(Cluster(Script(code=0), TerminalState.FAILED))
    assert (job.phase, job.exit_code, job.attempt, job.succeeded, job.failed) == (Phase.FAILED, 1, 3, 0, 3)


@pytest.mark.requirement("retry-rule-9")
def test_the_submitter_can_not_be_started(home: Supervised) -> None:
    home.submit()
    job = home.end(Cluster(Script(start_error="there is no such command"), TerminalState.FINISHED))
    assert (job.phase, job.reason, job.failed) == (Phase.FAILED, Reason.SUBMISSION_FAILED.value, 1)


@pytest.mark.requirement("retry-rule-5")
def test_nothing_of_an_attempt_is_seen_in_the_next(home: Supervised) -> None:
    """Field by field: while the second one is active, all that was the first one's is reset."""
    home.submit(retry=POLICY, attempt_deadline=500.0)
    seen: list[Job] = []

    def script(attempt: Attempt, launch: Launch) -> Script:  # noqa: ARG001 - the contract's
        if attempt.number == 1:
            return Script((AppId("app-of-the-first"), 0.01), code=3)
        seen.append(home.job())
        return Script(code=0)

    job = home.end(FakeBackend(script))
    (second,) = seen
    assert (second.attempt, second.active, second.failed) == (2, True, 1)
    assert (second.saved, second.attempt_at, second.due, second.submission.app_id) == (None, None, None, None)
    (_, first), (_, last) = home.jobs.history("job")
    assert first is not None
    assert last is not None
    assert (first.app_id, first.exit_code, last.app_id, last.exit_code) == ("app-of-the-first", 3, None, 0)
    assert (job.phase, job.reason, job.exit_code) == (Phase.FINISHED, None, 0)


@pytest.mark.requirement("retry-rule-6")
def test_what_a_job_keeps_is_removed_only_after_its_last_attempt(home: Supervised) -> None:
    forgotten: list[tuple[int, Phase]] = []

    class Keeping(FakeBackend):
        async def forget(self, attempt: Attempt, saved: Any) -> None:
            forgotten.append((attempt.number, home.job().phase))
            await super().forget(attempt, saved)

    home.submit(retry=POLICY, ttl_after_finished=0.0)
    home.supervise(Keeping(Script(code=3)), lambda: home.jobs.job("job") is None)
    assert {number for number, _ in forgotten} == {1, 2, 3}
    assert {phase for _, phase in forgotten} == {Phase.FAILED}


@pytest.mark.requirement("retry-rule-7")
def test_a_negative_limit_is_refused_before_anything_is_kept(home: Supervised) -> None:
    with pytest.raises(UsageError, match="backoff limit can't be -1"):
        home.submit(retry=RetryPolicy(-1))
    assert home.jobs.job("job") is None
    home.submit("unset")
    home.submit("null", retry=RetryPolicy(None))
    for name in ("unset", "null"):
        assert home.end(FakeBackend(Script(code=1)), name).attempt == 1


@pytest.mark.requirement("retry-rule-8")
def test_a_job_that_a_newer_version_has_written_is_supervised(home: Supervised) -> None:
    home.submit(retry=RetryPolicy(1, backoff_first=0.01))
    with home.store._database.write() as connection:
        connection.execute("UPDATE jobs SET request = json_set(request, '$.colour', 'red', '$.retry.colour', 'red')")
    job = home.end(FakeBackend(Script(code=1)))
    assert (job.phase, job.attempt) == (Phase.FAILED, 2)


@pytest.mark.requirement("retry-rule-10")
def test_ids_are_stored_before_there_are_effects(home: Supervised) -> None:
    stored: list[tuple[int, bool, list[int]]] = []

    def script(attempt: Attempt, launch: Launch) -> Script:  # noqa: ARG001 - the contract's
        with Store(home.path) as other:
            job = other.jobs.job(attempt.submission_id)
            assert job is not None
            stored.append((job.attempt, job.active, [one.number for one, _ in other.jobs.history("job")]))
        return Script(code=1)

    home.submit(retry=POLICY)
    home.end(FakeBackend(script))
    assert stored == [(1, True, [1]), (2, True, [1, 2]), (3, True, [1, 2, 3])]


@pytest.mark.requirement("retry-rule-13")
def test_a_suspension_uses_no_retry_up(home: Supervised) -> None:
    """Twice suspended, and then it fails as often as it may: every failure counts, and no suspension."""
    first = home.submit(retry=RetryPolicy(1, backoff_first=0.01))

    def ended() -> bool:
        job = home.job()
        if job.phase is Phase.RUNNING and job.attempt <= 2:
            home.jobs.suspend("job", "a test", Moment.now())
        elif job.phase is Phase.SUSPENDED:
            assert (job.suspended, job.failed) == (job.attempt, 0)
            home.jobs.resume("job", "a test", Moment.now())
        return job.phase.terminal

    home.supervise(FakeBackend(lambda attempt, _: Script() if attempt.number <= 2 else Script(code=1)), ended)
    job = home.job()
    assert (job.phase, job.attempt, job.suspended, job.failed) == (Phase.FAILED, 4, 2, 2)
    assert (job.place, job.submission.created_at) == (first.place, first.submission.created_at)
