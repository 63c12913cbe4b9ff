"""The supervisor dies right before, and right after, each of its steps: the next one goes on from there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from jobs.real_home import until

from raydp_wrap.job import ChangeKind
from raydp_wrap.request import Phase, RetryPolicy

if TYPE_CHECKING:
    from pathlib import Path

    from jobs.real_home import RealHome

pytestmark = pytest.mark.requirement("fault-3", "jobs-2.2-adopted")

NOTE = 'echo $$ >>"$1/$RAYDP_WRAP_SUBMISSION_ID.$RAYDP_WRAP_ATTEMPT"; '
FAILS_ONCE = NOTE + "test $RAYDP_WRAP_ATTEMPT = 2 || exit 3"
WAITS = NOTE + "test $RAYDP_WRAP_ATTEMPT = 2 || exec sleep 100"


def starts(tmp_path: Path, name: str, number: int) -> int:
    """How often that attempt was started."""
    note = tmp_path / f"{name}.{number}"
    return len(note.read_text(encoding="ascii").split()) if note.exists() else 0


@pytest.mark.requirement("retry-rule-5", "retry-rule-10")
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", ["begin", "launch", "started", "retry", "decide"])
def test_a_job_that_fails_once(home: RealHome, tmp_path: Path, step: str, when: str) -> None:
    home.submit("job", "sh", "-c", FAILS_ONCE, "sh", str(tmp_path), retry=RetryPolicy(1, backoff_first=0.01))
    home.start(step, when)
    home.await_death()
    known = home.job("job")
    assert starts(tmp_path, "job", 1) == 0 or known.attempt >= 1, "an attempt is stored before it is started"
    home.start()
    job = home.until("job")
    assert (job.phase, job.attempt, job.succeeded, job.failed, job.exit_code) == (Phase.FINISHED, 2, 1, 1, 0)
    assert [starts(tmp_path, "job", number) for number in (1, 2, 3)] == [1, 1, 0]
    assert [end.exit_code for _, end in home.jobs.history("job") if end is not None] == [3, 0]
    kinds = [change.kind for change in home.jobs.changes(0, "job")]
    assert kinds.count(ChangeKind.BEGUN) == 2
    assert kinds.count(ChangeKind.ENDED) == 1


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", ["restore", "stop", "suspended"])
def test_a_job_that_is_suspended_and_resumed(home: RealHome, tmp_path: Path, step: str, when: str) -> None:
    """While nobody supervises it: the next one dies over that, and the one after goes on."""
    home.submit("job", "sh", "-c", WAITS, "sh", str(tmp_path))
    home.start()
    home.until("job", Phase.RUNNING)
    until(lambda: starts(tmp_path, "job", 1))
    home.kill()
    home.suspend("job")
    home.resume("job")
    home.start(step, when)
    home.await_death()
    home.start()
    job = home.until("job")
    assert (job.phase, job.attempt, job.succeeded, job.failed, job.suspended) == (Phase.FINISHED, 2, 1, 0, 1)
    assert [starts(tmp_path, "job", number) for number in (1, 2, 3)] == [1, 1, 0]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", ["restore", "stop", "decide"])
def test_a_job_that_is_stopped(home: RealHome, tmp_path: Path, step: str, when: str) -> None:
    home.submit("job", "sh", "-c", WAITS, "sh", str(tmp_path), retry=RetryPolicy(3))
    home.start()
    home.until("job", Phase.RUNNING)
    until(lambda: starts(tmp_path, "job", 1))
    home.kill()
    home.stop("job")
    home.start(step, when)
    home.await_death()
    home.start()
    job = home.until("job")
    assert (job.phase, job.attempt, job.succeeded, job.failed) == (Phase.KILLED, 1, 0, 0)
    assert [starts(tmp_path, "job", number) for number in (1, 2)] == [1, 0]


@pytest.mark.requirement("fault-9")
@pytest.mark.parametrize("code", [0, 7])
def test_what_ended_by_itself_before_a_stop_was_heard(home: RealHome, tmp_path: Path, code: int) -> None:
    """Nobody supervises when it ends, nor when a stop is asked for: its own end stands, and is not retried."""
    os.mkfifo(tmp_path / "fifo")
    home.submit("job", "sh", "-c", f"read line <{tmp_path}/fifo; exit {code}", retry=RetryPolicy(3, backoff_first=0.01))
    home.start()
    home.until("job", Phase.RUNNING)
    home.kill()
    (tmp_path / "fifo").write_text("go\n", encoding="ascii")
    until((home.place("job") / "record").exists)
    home.stop("job")
    home.start()
    job = home.until("job")
    assert (job.phase, job.exit_code, job.attempt) == (Phase.FAILED if code else Phase.FINISHED, code, 1)
