"""What the database itself refuses of jobs, and what it keeps for other versions."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import apsw
import pytest
from store.job_making import CONTEXT, NOW, WISH, request, running, submitted
from store.making import ended, home, submission
from store.test_latch import rows

from raydp_wrap.errors import StoreError
from raydp_wrap.job import TRANSITIONS, Tally
from raydp_wrap.model import TerminalState
from raydp_wrap.request import Phase
from raydp_wrap.store import Store
from raydp_wrap.store.migrations import MIGRATIONS

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["home"]


@pytest.fixture
def blank() -> apsw.Connection:
    connection = apsw.Connection(":memory:")
    for script in MIGRATIONS:
        connection.execute(script)
    connection.execute(
        "INSERT INTO submissions (submission_id, name, created_at, document) VALUES ('job', '', 1, '{}')"
    )
    return connection


def insert(connection: apsw.Connection, phase: Phase) -> None:
    succeeded = int(phase is Phase.FINISHED)
    connection.execute(
        "INSERT INTO jobs (place, submission_id, name, phase, seq, succeeded, request)"
        " VALUES (1, 'job', '', ?, 1, ?, '{}')",
        (phase.value, succeeded),
    )


@pytest.mark.requirement("jobs-1.1")
@pytest.mark.parametrize(("before", "after"), [pair for pair in itertools.product(Phase, Phase) if pair[0] != pair[1]])
def test_the_database_knows_the_same_transitions(blank: apsw.Connection, before: Phase, after: Phase) -> None:
    blank.execute("DROP TRIGGER jobs_begin_waiting")
    insert(blank, before)
    change = "UPDATE jobs SET phase = ?, succeeded = ?"
    values = (after.value, int(after is Phase.FINISHED))
    if after in TRANSITIONS[before]:
        blank.execute(change, values)
    else:
        with pytest.raises(apsw.ConstraintError, match=r"no such transition|ended already"):
            blank.execute(change, values)


@pytest.mark.parametrize("phase", Phase)
def test_a_job_begins_by_waiting(blank: apsw.Connection, phase: Phase) -> None:
    if phase in (Phase.PENDING, Phase.SUSPENDED):
        insert(blank, phase)
    else:
        with pytest.raises(apsw.ConstraintError):
            insert(blank, phase)


@pytest.mark.requirement("jobs-1.1", "retry-rule-11")
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE jobs SET failed = failed + 1",
        "UPDATE jobs SET attempt = attempt + 1",
        "UPDATE jobs SET exit_code = 0",
        "UPDATE jobs SET succeeded = 1",
        "UPDATE jobs SET phase = 'FINISHED', succeeded = 1",
        "UPDATE jobs SET active = 1",
        "UPDATE jobs SET environ = x'00'",
    ],
)
def test_what_has_ended_is_refused_any_change(home: Path, change: str) -> None:
    with Store(home) as store:
        running(store.jobs)
        job = store.jobs.decide("job", 1, ended(), Tally.FAILED, NOW)
        with pytest.raises(apsw.ConstraintError):
            rows(home, change)
        assert store.jobs.job("job") == job


@pytest.mark.parametrize(
    "change", ["UPDATE jobs SET phase = 'FINISHED'", "UPDATE jobs SET succeeded = 1", "UPDATE jobs SET failed = -1"]
)
def test_counters_that_can_not_be_are_refused(home: Path, change: str) -> None:
    with Store(home) as store:
        running(store.jobs)
        with pytest.raises(apsw.ConstraintError):
            rows(home, change)


@pytest.mark.requirement("jobs-1.1")
def test_a_job_can_not_be_decided_beside_its_phase(home: Path) -> None:
    with Store(home) as store:
        running(store.jobs)
        with pytest.raises(StoreError, match="its job has not ended so"):
            store.finish(ended())
        assert store.outcome("job") is None
        assert store.undelivered() == []


@pytest.mark.requirement("retry-rule-8")
def test_what_a_newer_version_adds_survives(home: Path) -> None:
    with Store(home) as store:
        running(store.jobs)
        rows(home, "UPDATE jobs SET request = json_set(request, '$.new', 1, '$.retry.new', 2)")
        rows(home, "UPDATE attempts SET document = '{\"new\": 3}'")
        rows(home, "UPDATE changes SET detail = '{\"new\": 5}'")
        job = store.jobs.job("job")
        assert job is not None
        assert job.request == request()
        store.jobs.stop("job", WISH, ended(), NOW)
        rows(home, "UPDATE jobs SET stop = json_set(stop, '$.new', 4)")
        store.jobs.stop("job", type(WISH)(1.0, 1, 1, "", 0.5), ended(), NOW)
        store.jobs.retry("job", 1, ended(), Tally.FAILED, NOW, "", NOW)
        store.jobs.decide("job", None, ended(state=TerminalState.KILLED), None, NOW)
        assert rows(home, "SELECT request ->> '$.new', request ->> '$.retry.new', stop ->> '$.new' FROM jobs") == [
            (1, 2, 4)
        ]
        assert rows(home, "SELECT document ->> '$.new' FROM attempts") == [(3,)]
        assert store.jobs.changes(0)[0].detail == {"new": 5}
        assert store.jobs.submit(submission("job", ()), request(), CONTEXT, NOW)[1] is False


@pytest.mark.requirement("retry-rule-8")
def test_what_an_older_version_did_not_write_is_as_it_was_then(home: Path) -> None:
    with Store(home) as store:
        running(store.jobs, grace=3.0)
        rows(
            home, 'UPDATE jobs SET request = \'{"argv": ["old"]}\', saved = \'{}\', stop = \'{"at":1,"pid":2,"uid":3}\''
        )
        rows(home, "UPDATE attempts SET document = '{}'")
        rows(home, "UPDATE submissions SET document = '{}'")
        job = store.jobs.job("job")
        assert job is not None
        assert (job.request, job.saved, job.submission.tags) == (type(request())(("old",)), {}, {})
        assert job.stop == type(WISH)(1, 2, 3)
        assert store.jobs.history("job")[0][1] is None


def test_a_job_that_is_not_understood_says_so(home: Path) -> None:
    with Store(home) as store:
        running(store.jobs)
        rows(home, "UPDATE jobs SET request = '{}'")
        with pytest.raises(StoreError, match="the job job in the store can't be understood"):
            store.jobs.job("job")


@pytest.mark.requirement("store-2.1")
def test_a_store_of_before_there_were_jobs_gets_them(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("raydp_wrap.store.database.MIGRATIONS", MIGRATIONS[:1])
        with Store(home) as store:
            store.submit(submission("old"))
    with Store(home) as store:
        assert [one.submission_id for one in store.undecided()] == ["old"]
        submitted(store.jobs)
        assert [one.submission_id for one in store.jobs.unfinished()] == ["job"]
        assert [one.submission_id for one, _ in store.jobs.foreground()] == ["old"]


def test_variables_are_gone_from_an_ended_jobs_row(home: Path) -> None:
    with Store(home) as store:
        running(store.jobs)
        assert rows(home, "SELECT environ IS NULL FROM jobs") == [(0,)]
        store.jobs.decide("job", 1, ended(), Tally.FAILED, NOW)
        assert rows(home, "SELECT environ, umask, nofile FROM jobs") == [(None, None, None)]
