"""Guard and driver die while nobody supervises, and others get their pids: no signal reaches these."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from jobs.real_home import until
from jobs.strangers import Strangers, lose

from raydp_wrap.model import Reason
from raydp_wrap.request import Phase, RetryPolicy

if TYPE_CHECKING:
    from jobs.real_home import RealHome

pytestmark = pytest.mark.requirement("fault-4")


@pytest.mark.parametrize("wish", ["stop", "suspend", "retry", "none"])
def test_the_pids_of_a_lost_attempt_are_taken(home: RealHome, strangers: Strangers, wish: str) -> None:
    policy = RetryPolicy(1, backoff_first=0.01) if wish == "retry" else RetryPolicy()
    home.submit("job", "sh", "-c", "test $RAYDP_WRAP_ATTEMPT = 2 || exec sleep 100", retry=policy)
    home.start()
    home.until("job", Phase.RUNNING)
    home.kill()
    for pid in lose(home, "job"):
        strangers.take(pid)
    if wish == "stop":
        home.stop("job", grace=0.0)
    elif wish == "suspend":
        home.suspend("job")
    home.start()
    job = home.until("job")
    expected = {"stop": Phase.KILLED, "retry": Phase.FINISHED}.get(wish, Phase.FAILED)
    assert job.phase is expected
    if expected is Phase.FAILED:
        assert job.reason == Reason.JOB_LOST.value
    assert job.attempt == (2 if wish == "retry" else 1)
    # Also later: what is forgotten, and whoever supervises next, has nothing to do with them.
    home.kill()
    home.start()
    home.submit("other", "/bin/true")
    home.until("other")
    assert strangers.all_live()


def test_a_stop_that_is_asked_for_after_the_adoption(home: RealHome, strangers: Strangers) -> None:
    """The job runs on, its driver's child's pid is a stranger's by now: the guard ends what is its own."""
    home.submit("job", "sh", "-c", "sleep 100 & echo $!; wait $!; sleep 100")
    home.start()
    home.until("job", Phase.RUNNING)
    output = home.place("job") / "output"
    child = int(until(lambda: output.read_text(encoding="ascii").strip()))
    home.kill()
    os.kill(child, signal.SIGKILL)
    strangers.take(child)
    home.start()
    home.stop("job")
    assert home.until("job").phase is Phase.KILLED
    assert strangers.all_live()


def test_a_supervisor_s_pid_is_taken(home: RealHome, strangers: Strangers) -> None:
    """Whether one lives is told by a lock, not by a pid; its jobs' guards have lost their owner, and don't mind."""
    home.submit("job", "sh", "-c", "exec sleep 100")
    before = home.start()
    home.until("job", Phase.RUNNING)
    home.kill()
    strangers.take(before)
    home.start()
    home.stop("job")
    assert home.until("job").phase is Phase.KILLED
    assert strangers.all_live()
