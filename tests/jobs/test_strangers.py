"""Guard and driver die while nobody supervises, and others get their pids: no signal reaches these."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest
from jobs.real_home import until
from programs.compiled import STATIC, compiled
from programs.facts import alive, state

from raydp_wrap.model import Reason
from raydp_wrap.request import Phase, RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobs.real_home import RealHome

pytestmark = pytest.mark.requirement("fault-4")


class Strangers:
    """Processes of others that have the pids they were asked to have."""

    def __init__(self) -> None:
        self.helpers: dict[int, subprocess.Popen[bytes]] = {}

    def take(self, pid: int) -> None:
        until(lambda: not os.path.exists(f"/proc/{pid}"), lambda: f"{pid} is still there: {state(pid)}")
        helper = subprocess.Popen([compiled("reuse", *STATIC), str(pid), "stranger"], stdout=subprocess.PIPE)
        self.helpers[pid] = helper
        assert helper.stdout is not None
        if helper.stdout.read(1) != b"!":
            self.helpers.pop(pid)
            helper.stdout.close()
            assert helper.wait() == 77
            pytest.skip("NOT TESTED: a pid can't be chosen here (clone3's set_tid)")

    def all_live(self) -> bool:
        return all(alive(pid) for pid in self.helpers)

    def close(self) -> None:
        for pid, helper in self.helpers.items():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            assert helper.stdout is not None
            helper.stdout.close()
            helper.wait()


@pytest.fixture
def strangers() -> Iterator[Strangers]:
    one = Strangers()
    yield one
    one.close()


def lose(home: RealHome, name: str) -> tuple[int, int]:
    """Kill guard and driver, which nobody supervises; their pids."""
    guard, driver = home.pids(name)
    os.kill(guard, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):  # it may have died with its guard already
        os.kill(driver, signal.SIGKILL)
    return guard, driver


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
