"""What may be done to a job, and what comes of it: the same in the store and in memory."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from store.job_making import CONTEXT, NOW, WISH, request, running, submitted
from store.making import ended, home, submission

from raydp_wrap.errors import AlreadyDecidedError, RaydpWrapError, UsageError
from raydp_wrap.job import LEAST_KEPT, Capacity, ChangeKind, Tally
from raydp_wrap.model import TerminalState
from raydp_wrap.request import Condition, Context, Dependency, Phase, RetryPolicy, Unset
from raydp_wrap.store import Claimer, DeliveryStatus, Settlement, Store
from raydp_wrap.testing import FakeJobs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from raydp_wrap.job import Jobs

__all__ = ["home"]

KILLED = TerminalState.KILLED


@pytest.fixture(params=["store", "memory"])
def jobs(request: pytest.FixtureRequest, home: Path) -> Iterator[Jobs]:
    if request.param == "memory":
        yield FakeJobs()
        return
    with Store(home) as store:
        yield store.jobs


def kinds(jobs: Jobs, submission_id: str = "job") -> list[ChangeKind]:
    return [change.kind for change in jobs.changes(0, submission_id)]


@pytest.mark.requirement("jobs-1.1")
def test_a_life_is_written_down_change_by_change(jobs: Jobs) -> None:
    job = submitted(jobs)
    assert (job.phase, job.place, job.seq, job.attempt, job.active) == (Phase.PENDING, 1, 1, 0, False)
    begun = jobs.begin("job", NOW.after(60), NOW.after(1))
    assert begun is not None
    assert (begun.phase, begun.attempt, begun.active, begun.saved) == (Phase.PENDING, 1, True, None)
    assert begun.deadline == NOW.after(60)
    job = jobs.started("job", 1, {"pid": 3}, NOW.wall + 2, NOW.after(2))
    assert (job.phase, job.saved, job.attempt_at) == (Phase.RUNNING, {"pid": 3}, NOW.wall + 2)
    job = jobs.retry("job", 1, ended(), Tally.FAILED, NOW.after(13), "it failed", NOW.after(3))
    assert (job.phase, job.due, job.failed, job.exit_code, job.reason) == (
        Phase.RETRYING,
        NOW.after(13),
        1,
        1,
        "AppFailed",
    )
    jobs.begin("job", job.deadline, NOW.after(14))
    job = jobs.decide("job", 2, ended(state=TerminalState.FINISHED), Tally.SUCCEEDED, NOW.after(20))
    assert (job.phase, job.succeeded, job.failed, job.active, job.due, job.deadline) == (
        Phase.FINISHED,
        1,
        1,
        False,
        None,
        None,
    )
    changes = jobs.changes(0)
    assert [(one.seq, one.kind.name, one.phase.name, one.attempt, one.at - NOW.wall) for one in changes] == [
        (1, "SUBMITTED", "PENDING", 0, 0),
        (2, "BEGUN", "PENDING", 1, 1),
        (3, "STARTED", "RUNNING", 1, 2),
        (4, "RETRYING", "RETRYING", 1, 3),
        (5, "BEGUN", "RETRYING", 2, 14),
        (6, "ENDED", "FINISHED", 2, 20),
    ]
    assert changes[3].detail == {"why": "it failed", "tally": "failed", "exit_code": 1, "reason": "AppFailed"}
    assert jobs.changed(5) == [job] == jobs.changed(0)
    assert jobs.changes(2, "job", 2) == changes[2:4]
    assert (jobs.changed(6), jobs.changes(6), jobs.last_seq(), jobs.unfinished()) == ([], [], 6, [])


@pytest.mark.requirement("retry-rule-5")
def test_a_retry_resets_whatever_was_the_attempts(jobs: Jobs) -> None:
    running(jobs)
    failed = replace(ended(diagnostics="x" * 9000), app_id="app-1")
    job = jobs.retry("job", 1, failed, Tally.IGNORED, NOW.after(10), "", NOW)
    assert (job.active, job.saved, job.attempt_at, job.submission.app_id, job.ignored, job.failed) == (
        False,
        None,
        None,
        None,
        1,
        0,
    )
    jobs.begin("job", None, NOW)
    (first, end), (second, none) = jobs.history("job")
    assert (first.number, second.number, none) == (1, 2, None)
    assert end is not None
    assert len(end.diagnostics.encode()) <= 2048
    assert end == replace(failed, diagnostics=end.diagnostics, tags={})
    assert jobs.remains("job") == [(first, {"directory": "x"}), (second, {})]


@pytest.mark.requirement("retry-rule-10")
def test_an_attempt_is_stored_before_it_is_started(jobs: Jobs) -> None:
    submitted(jobs)
    assert jobs.history("job") == []
    begun = jobs.begin("job", None, NOW)
    assert begun is not None
    assert [attempt.number for attempt, _ in jobs.history("job")] == [1]
    assert jobs.begin("job", None, NOW) is None, "attempts never overlap"
    assert [attempt.number for attempt, _ in jobs.history("job")] == [1]


def test_what_is_saved_once_more_is_no_change(jobs: Jobs) -> None:
    running(jobs)
    before = jobs.last_seq()
    job = jobs.started("job", 1, {"directory": "x", "app": 1}, NOW.wall + 100, NOW)
    assert job.saved == {"directory": "x", "app": 1}
    assert (job.attempt_at, job.phase, jobs.last_seq()) == (NOW.wall, Phase.RUNNING, before)


def suspended_first(jobs: Jobs) -> None:
    submitted(jobs, suspend=True)


def suspended_later(jobs: Jobs) -> None:
    submitted(jobs)
    jobs.suspend("job", "", NOW)


@pytest.mark.parametrize("make", [suspended_first, suspended_later])
def test_a_suspended_job_is_not_begun_until_it_is_resumed(jobs: Jobs, make: Callable[[Jobs], None]) -> None:
    make(jobs)
    assert jobs.begin("job", None, NOW) is None
    assert jobs.resume("job", "me", NOW).phase is Phase.PENDING
    assert jobs.begin("job", None, NOW) is not None


def test_suspending_is_not_counted_and_keeps_place_and_deadline(jobs: Jobs) -> None:
    running(jobs)
    submitted(jobs, "other")
    assert jobs.suspend("job", "me", NOW).phase is Phase.SUSPENDING
    assert jobs.suspend("job", "me", NOW).phase is Phase.SUSPENDING
    job = jobs.suspended("job", 1, ended(state=KILLED), NOW.after(40))
    assert (job.phase, job.failed, job.suspended, job.place) == (Phase.SUSPENDED, 0, 1, 1)
    assert (job.deadline, job.deadline_left) == (None, 60.0)
    job = jobs.resume("job", "me", NOW.after(1000))
    assert (job.phase, job.deadline, job.deadline_left) == (Phase.PENDING, NOW.after(1000).after(60.0), None)
    assert [one.submission_id for one in jobs.unfinished()] == ["job", "other"]
    assert kinds(jobs)[3:] == [ChangeKind.SUSPEND_ASKED, ChangeKind.SUSPENDED, ChangeKind.RESUMED]


def test_a_suspension_that_was_taken_back_ends_in_pending(jobs: Jobs) -> None:
    running(jobs)
    jobs.suspend("job", "me", NOW)
    assert jobs.resume("job", "me", NOW).phase is Phase.SUSPENDING
    assert jobs.suspended("job", 1, ended(state=KILLED), NOW).phase is Phase.PENDING


def test_a_retry_of_what_is_to_be_suspended_is_suspended(jobs: Jobs) -> None:
    running(jobs)
    jobs.suspend("job", "me", NOW)
    job = jobs.retry("job", 1, ended(), Tally.FAILED, NOW.after(10), "", NOW)
    assert (job.phase, job.failed, job.due) == (Phase.SUSPENDED, 1, None)


def test_there_is_nothing_to_resume(jobs: Jobs) -> None:
    submitted(jobs)
    with pytest.raises(UsageError, match="nothing to resume"):
        jobs.resume("job", "", NOW)


@pytest.mark.requirement("jobs-1.4-stop-before-start")
@pytest.mark.parametrize("suspend", [False, True])
def test_a_stop_before_the_start_is_terminal_at_once(jobs: Jobs, *, suspend: bool) -> None:
    submitted(jobs, suspend=suspend)
    job = jobs.stop("job", WISH, ended(state=KILLED), NOW)
    assert (job.phase, job.stop, job.attempt) == (Phase.KILLED, WISH, 0)
    assert jobs.begin("job", None, NOW) is None
    assert jobs.history("job") == []
    assert kinds(jobs) == [ChangeKind.SUBMITTED, ChangeKind.ENDED]
    assert jobs.changes(1)[0].detail["label"] == "somebody"


def test_a_later_stop_can_only_shorten_the_grace(jobs: Jobs) -> None:
    running(jobs)
    assert jobs.stop("job", WISH, ended(state=KILLED), NOW).stop == WISH
    before = jobs.last_seq()
    for longer in (None, 10.0, 99.0):
        later = replace(WISH, label="another", grace=longer)
        assert jobs.stop("job", later, ended(state=KILLED), NOW).stop == WISH
    assert jobs.last_seq() == before
    job = jobs.stop("job", replace(WISH, label="another", grace=1.0), ended(state=KILLED), NOW)
    assert job.stop == replace(WISH, grace=1.0)
    assert (job.phase, jobs.last_seq()) == (Phase.RUNNING, before + 1)
    with pytest.raises(UsageError, match="is being stopped"):
        jobs.suspend("job", "", NOW)


@pytest.mark.parametrize("state", [TerminalState.FINISHED, TerminalState.FAILED, KILLED])
def test_the_end_is_final(jobs: Jobs, state: TerminalState) -> None:
    running(jobs)
    outcome = ended(state=state)
    tally = Tally.SUCCEEDED if state is TerminalState.FINISHED else Tally.STOPPED
    job = jobs.decide("job", 1, outcome, tally, NOW)
    assert (job.phase.value, job.saved) == (state.value, {"directory": "x"})
    for do in (
        lambda: jobs.decide("job", 1, ended(state=KILLED), Tally.STOPPED, NOW),
        lambda: jobs.decide("job", None, ended(), None, NOW),
        lambda: jobs.stop("job", WISH, ended(state=KILLED), NOW),
        lambda: jobs.suspend("job", "", NOW),
        lambda: jobs.resume("job", "", NOW),
        lambda: jobs.started("job", 1, {}, 1.0, NOW),
        lambda: jobs.retry("job", 1, ended(), Tally.FAILED, NOW, "", NOW),
        lambda: jobs.suspended("job", 1, ended(), NOW),
        lambda: jobs.park("job", NOW),
    ):
        with pytest.raises(AlreadyDecidedError) as caught:
            do()
        assert caught.value.outcome == outcome
    assert jobs.job("job") == job
    assert jobs.outcome("job") == outcome
    assert jobs.history("job")[0][1] == outcome
    assert jobs.context("job") == Context()


@pytest.mark.requirement("retry-rule-11")
@pytest.mark.parametrize(
    ("state", "tally"),
    [
        (TerminalState.FINISHED, Tally.FAILED),
        (TerminalState.FINISHED, None),
        (TerminalState.FAILED, Tally.SUCCEEDED),
        (KILLED, Tally.SUCCEEDED),
        (TerminalState.UNKNOWN, Tally.FAILED),
    ],
)
def test_success_is_one_success_and_nothing_else(jobs: Jobs, state: TerminalState, tally: Tally | None) -> None:
    before = running(jobs)
    with pytest.raises((RaydpWrapError, ValueError)):
        jobs.decide("job", None if tally is None else 1, ended(state=state), tally, NOW)
    assert jobs.job("job") == before


@pytest.mark.parametrize("number", [None, 0, 2])
def test_only_the_active_attempt_ends_a_job(jobs: Jobs, number: int | None) -> None:
    before = running(jobs)
    with pytest.raises(RaydpWrapError, match="active"):
        jobs.decide("job", number, ended(), None if number is None else Tally.FAILED, NOW)
    assert jobs.job("job") == before


def test_what_is_not_there(jobs: Jobs) -> None:
    assert (jobs.job("job"), jobs.outcome("job"), list(jobs.waiting_for("job")), jobs.last_seq()) == (None, None, [], 0)
    for do in (
        lambda: jobs.begin("job", None, NOW),
        lambda: jobs.stop("job", WISH, ended(), NOW),
        lambda: jobs.park("job", NOW),
        lambda: jobs.delete("job"),
        lambda: jobs.context("job"),
        lambda: jobs.history("job"),
        lambda: jobs.remains("job"),
    ):
        with pytest.raises(UsageError, match="there is no job job"):
            do()


@pytest.mark.requirement("jobs-1.5-submit")
def test_the_same_request_is_the_same_job(jobs: Jobs) -> None:
    asked = request(env={"A": "1"}, retry=RetryPolicy(backoff_limit=3), metadata={"a": "b"})
    job, new = jobs.submit(submission(), asked, CONTEXT, NOW)
    assert new
    later = replace(submission(), created_at=9.0)
    assert jobs.submit(later, asked, Context(), NOW.after(9)) == (job, False)
    assert jobs.context("job") == CONTEXT
    for other, what in (
        (submission(), replace(asked, argv=("sleep", "2"))),
        (submission(), replace(asked, retry=RetryPolicy(backoff_limit=2))),
        (replace(submission(), name="another"), asked),
        (replace(submission(), sinks=()), asked),
        (replace(submission(), tags={}), asked),
    ):
        with pytest.raises(UsageError, match="there is a job job already, and it is another one"):
            jobs.submit(other, what, CONTEXT, NOW)
    assert jobs.last_seq() == 1
    ended_job = jobs.stop("job", WISH, ended(state=KILLED), NOW)
    assert jobs.submit(later, asked, CONTEXT, NOW) == (ended_job, False)


@pytest.mark.requirement("retry-rule-7")
@pytest.mark.parametrize("limit", [Unset.UNSET, None, 0, 3])
def test_limits_that_are_unset_null_and_zero_come_back_as_they_were(jobs: Jobs, limit: int | Unset | None) -> None:
    submitted(jobs, retry=RetryPolicy(backoff_limit=limit))
    job = jobs.job("job")
    assert job is not None
    assert job.request.retry.backoff_limit is limit
    with pytest.raises(UsageError, match="can't be -1"):
        submitted(jobs, "other", retry=RetryPolicy(backoff_limit=-1))


def test_a_job_comes_after_what_can_still_end_so(jobs: Jobs) -> None:
    running(jobs, "first")
    with pytest.raises(UsageError, match="there is no job none to come after"):
        submitted(jobs, after=(Dependency("none"),))
    submitted(jobs, after=(Dependency("first"), Dependency("first", Condition.ANY)))
    submitted(jobs, "another", after=(Dependency("first", Condition.ANY),))
    assert list(jobs.waiting_for("first")) == ["another", "job"]
    jobs.decide("first", 1, ended("first"), Tally.FAILED, NOW)
    with pytest.raises(UsageError, match="first has ended as FAILED"):
        submitted(jobs, "late", after=(Dependency("first"),))
    submitted(jobs, "late", after=(Dependency("first", Condition.ANY),))
    jobs.decide("job", None, ended("job"), None, NOW)
    assert list(jobs.waiting_for("first")) == ["another", "late"]


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"cpus": 4.0}, "it needs 4 cpus and there are 2"),
        ({"memory": 5000}, "it needs 5000 bytes of memory and there are 4000"),
        ({"slots": {"gpu": 3.0}}, "it needs 3 gpu and there are 1"),
        ({"slots": {"licence": 1.0}}, "raydp-wrap jobs limits --slot licence=N"),
    ],
)
def test_what_will_never_be_there_is_refused(jobs: Jobs, asked: dict[str, object], why: str) -> None:
    capacity = Capacity(7, {"cpus": 2.0, "gpu": 1.0, "memory": 4000.0})
    jobs.set_capacity(capacity)
    assert jobs.capacity() == capacity
    with pytest.raises(UsageError, match=why):
        submitted(jobs, **asked)
    assert jobs.job("job") is None


def test_without_limits_set_only_named_slots_are_refused(jobs: Jobs) -> None:
    assert jobs.capacity() == Capacity()
    assert submitted(jobs, cpus=1000.0, memory=1 << 49).phase is Phase.PENDING
    with pytest.raises(UsageError, match="jobs limits --slot gpu=N"):
        submitted(jobs, "other", slots={"gpu": 1.0})


@pytest.mark.requirement("jobs-1.4-delete")
def test_what_has_ended_can_be_forgotten(jobs: Jobs) -> None:
    running(jobs)
    with pytest.raises(UsageError, match="has not ended, it is RUNNING"):
        jobs.delete("job", force=True)
    submitted(jobs, "waits", after=(Dependency("job", Condition.ANY),))
    jobs.decide("job", 1, ended(), Tally.FAILED, NOW)
    with pytest.raises(UsageError, match="waits is to come after job"):
        jobs.delete("job", force=True)
    jobs.stop("waits", WISH, ended("waits", KILLED), NOW)
    jobs.delete("job")
    assert (jobs.job("job"), jobs.outcome("job"), jobs.changes(0, "job")) == (None, None, [])
    last = jobs.last_seq()
    jobs.delete("waits")
    assert (jobs.last_seq(), jobs.changes(0)) == (last, [])
    assert submitted(jobs).seq == last + 1, "numbers are not given twice"
    assert jobs.history("job") == []


@pytest.mark.requirement("jobs-1.4-delete")
def test_reports_that_wait_hold_a_job(jobs: Jobs) -> None:
    running(jobs, sinks=("file:x",), ttl_after_finished=0.0)
    jobs.decide("job", 1, ended(), Tally.FAILED, NOW)
    assert jobs.expired(NOW.after(LEAST_KEPT)) == []
    with pytest.raises(UsageError, match="has not been delivered"):
        jobs.delete("job")
    jobs.delete("job", force=True)
    assert jobs.job("job") is None


@pytest.mark.requirement("retry-rule-6")
def test_only_what_has_ended_expires(jobs: Jobs) -> None:
    late = NOW.after(1e6)
    for number, ttl in enumerate((30.0, 0.0, None)):
        running(jobs, f"job-{number}", ttl_after_finished=ttl)
    jobs.retry("job-0", 1, ended("job-0"), Tally.FAILED, NOW, "", NOW)
    assert jobs.expired(late) == []
    jobs.begin("job-0", None, NOW)
    assert jobs.expired(late) == []
    jobs.decide("job-0", 2, ended("job-0"), Tally.FAILED, NOW)
    for number in (1, 2):
        jobs.decide(f"job-{number}", 1, ended(f"job-{number}"), Tally.FAILED, NOW)
    assert jobs.expired(NOW.after(LEAST_KEPT - 0.1)) == [], "who waits for it may still look"
    assert jobs.expired(NOW.after(LEAST_KEPT)) == ["job-1"]
    assert jobs.expired(late) == ["job-1", "job-0"]
    assert jobs.expired(late, 1) == ["job-1"]
    submitted(jobs, "waits", after=(Dependency("job-1", Condition.ANY),))
    assert jobs.expired(late) == ["job-0"]
    jobs.delete("job-0")
    assert jobs.expired(late) == []


def test_each_sink_is_to_be_told(home: Path) -> None:
    with Store(home) as store:
        running(store.jobs, sinks=("file:x", "file:y"), ttl_after_finished=0.0)
        store.bind("job", "app-1")
        store.jobs.decide("job", 1, ended(), Tally.FAILED, NOW)
        claims = store.claim(Claimer.of_this_process())
        assert [(claim.sink, claim.outcome) for claim in claims] == [
            (sink, ended(app_id="app-1")) for sink in ("file:x", "file:y")
        ]
        store.settle_all([Settlement(claim, DeliveryStatus.DELIVERED) for claim in claims])
        assert store.jobs.expired(NOW.after(LEAST_KEPT)) == ["job"]
        assert store.outcome("job") == ended(app_id="app-1")
        store.jobs.delete("job")
        assert (store.submission("job"), store.attempts("job"), store.undelivered()) == (None, [], [])


@pytest.mark.requirement("retry-rule-10", "jobs-1.5-submit")
def test_of_16_threads_one_submits_one_begins_and_one_ends(home: Path) -> None:
    with Store(home) as store, ThreadPoolExecutor(16) as threads:
        new = [threads.submit(store.jobs.submit, submission("job", ()), request(), CONTEXT, NOW) for _ in range(16)]
        assert sorted(one.result()[1] for one in new) == [False] * 15 + [True]
        begun = [threads.submit(store.jobs.begin, "job", None, NOW) for _ in range(16)]
        assert [one.result().attempt for one in begun if one.result() is not None] == [1]
        states = [TerminalState.FINISHED, TerminalState.FAILED] * 8
        tallies = {TerminalState.FINISHED: Tally.SUCCEEDED, TerminalState.FAILED: Tally.FAILED}
        ends = [threads.submit(store.jobs.decide, "job", 1, ended(state=s), tallies[s], NOW) for s in states]
        failed = [one.exception() for one in ends if one.exception() is not None]
        assert len(failed) == 15
        stands = store.outcome("job")
        assert [getattr(error, "outcome", None) for error in failed] == [stands] * 15
        assert kinds(store.jobs).count(ChangeKind.ENDED) == 1


@pytest.mark.requirement("retry-rule-5")
@pytest.mark.parametrize("known", [None, "app-2"])
def test_an_app_id_is_the_attempts(home: Path, known: str | None) -> None:
    with Store(home) as store:
        running(store.jobs)
        store.bind("job", "app-1")
        job = store.jobs.retry("job", 1, ended(app_id=known), Tally.FAILED, NOW, "", NOW)
        assert job.submission.app_id is None
        assert store.submission("job") == job.submission
        assert store.jobs.history("job")[0][1] == replace(ended(app_id=known or "app-1"), tags={})


def test_an_id_of_a_foreground_run_is_taken(home: Path) -> None:
    with Store(home) as store:
        store.submit(submission())
        with pytest.raises(UsageError, match="use another id"):
            submitted(store.jobs)
        submitted(store.jobs, "other")
        with pytest.raises(UsageError, match="use another id"):
            store.submit(submission("other"))
        assert store.jobs.job("job") is None
        assert [one.submission_id for one in store.undecided()] == ["job"], "a job is the supervisor's"
