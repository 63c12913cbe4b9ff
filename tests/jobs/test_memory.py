"""The OOM killer ends a driver, a supervisor, a guard: only evidence makes that the reason."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from crash.harness import need, need_root
from jobs.real_home import RealHome, Supervisors, until

from raydp_wrap.model import Reason
from raydp_wrap.process import cgroup
from raydp_wrap.request import FailureRule, Phase, RetryPolicy, RuleAction

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.requirement("fault-25")

ROOM = 160 << 20
EAT = (sys.executable, "-c", f"x = b'x' * {2 * ROOM}")
FIRST_TO_GO = "1000"
JOIN = ("sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"')


@pytest.fixture
def small_memory() -> Iterator[Path]:
    """A memory cgroup with little room, to be joined."""
    need_root()
    counter = cgroup.locate()[1]
    need(counter and counter.endswith("memory.oom_control"), "needs a cgroup v1 memory controller to limit")
    assert counter
    group = Path(counter).parent / f"raydp-wrap-test-jobs-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(ROOM))
    except OSError as error:
        pytest.skip(f"NOT TESTED: no memory cgroup can be made: {error}")
    yield group
    until(lambda: not (group / "cgroup.procs").read_text(), lambda: "its members have not ended")
    group.rmdir()


@pytest.fixture
def cramped(tmp_path: Path, small_memory: Path) -> Iterator[RealHome]:
    """A home whose supervisors and jobs share that little room."""
    supervisors = Supervisors((*JOIN, str(small_memory)))
    home = RealHome(tmp_path, supervisors)
    yield home
    home.close()
    supervisors.close()


def kills(group: Path) -> int:
    """How many the kernel has ended in it."""
    words = (group / "memory.oom_control").read_text(encoding="ascii").split()
    return int(words[words.index("oom_kill") + 1])


def first_to_go(pid: int) -> None:
    Path(f"/proc/{pid}/oom_score_adj").write_text(FIRST_TO_GO, encoding="ascii")


def eat(group: Path) -> None:
    """Somebody else there needs more memory than there is, and comes last himself, or gets it."""
    subprocess.run([*JOIN, str(group), *EAT], check=False, timeout=60)


def test_a_driver_that_the_kernel_ends_was_out_of_memory(cramped: RealHome, small_memory: Path) -> None:
    """And one that was just killed was not, though another one was out of memory before."""
    rules = (FailureRule(RuleAction.IGNORE, reasons=(Reason.OUT_OF_MEMORY,)),)
    cramped.start()
    cramped.submit("greedy", *EAT)
    greedy = cramped.until("greedy")
    assert kills(small_memory) >= 1, "nothing was shown"
    assert (greedy.phase, greedy.signal, greedy.reason) == (
        Phase.FAILED, signal.SIGKILL, Reason.OUT_OF_MEMORY.value,
    )  # fmt: skip
    assert "oom_kill" in str(cramped.store.outcome("greedy"))
    cramped.submit("killed", "sh", "-c", "kill -9 $$")
    killed = cramped.until("killed")
    assert (killed.phase, killed.signal, killed.reason) == (Phase.FAILED, signal.SIGKILL, Reason.APP_FAILED.value)
    again = "test $RAYDP_WRAP_ATTEMPT = 2 || exec " + f"{sys.executable} -c \"x = b'x' * {2 * ROOM}\""
    cramped.submit("again", "sh", "-c", again, retry=RetryPolicy(0, backoff_first=0.01, rules=rules))
    retried = cramped.until("again")
    assert (retried.phase, retried.attempt, retried.ignored) == (Phase.FINISHED, 2, 1)


@pytest.mark.xfail(strict=True, reason="the kernel counts for all that share a memory cgroup, not for each job")
def test_one_that_was_killed_while_another_was_out_of_memory(cramped: RealHome, small_memory: Path) -> None:
    cramped.start()
    cramped.submit("killed", "sleep", "100")
    cramped.until("killed", Phase.RUNNING)
    before = kills(small_memory)
    cramped.submit("greedy", *EAT)
    cramped.until("greedy")
    assert kills(small_memory) > before
    os.kill(cramped.pids("killed")[1], signal.SIGKILL)
    assert cramped.until("killed").reason == Reason.APP_FAILED.value


def test_a_supervisor_that_the_kernel_ends_loses_no_job(cramped: RealHome, small_memory: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    fifo = os.open(tmp_path / "fifo", os.O_RDWR)
    pid = cramped.start()
    cramped.submit("job", "sh", "-c", f"read code <{tmp_path}/fifo; exit $code")
    cramped.until("job", Phase.RUNNING)
    first_to_go(pid)
    eat(small_memory)
    cramped.await_death()
    os.write(fifo, b"6\n")
    os.close(fifo)
    cramped.start()
    job = cramped.until("job")
    # The count is of all that share the memory: it tells why only of those that were killed.
    assert (job.phase, job.exit_code, job.reason, job.attempt) == (Phase.FAILED, 6, Reason.APP_FAILED.value, 1)


@pytest.mark.parametrize("supervised", [True, False])
def test_a_guard_that_the_kernel_ends_is_a_job_lost(cramped: RealHome, small_memory: Path, supervised: bool) -> None:  # noqa: FBT001 - a parameter
    """Nobody is left to say what ended it: that it was memory would be a guess."""
    cramped.start()
    cramped.submit("job", "sleep", "100", retry=RetryPolicy(0))
    cramped.until("job", Phase.RUNNING)
    guard, driver = cramped.pids("job")
    if not supervised:
        cramped.kill()
    first_to_go(guard)
    before = kills(small_memory)
    eat(small_memory)
    assert kills(small_memory) > before
    until(lambda: not os.path.exists(f"/proc/{driver}"), lambda: "the driver outlives its guard")
    if not supervised:
        cramped.start()
    job = cramped.until("job")
    assert (job.phase, job.reason, job.failed) == (Phase.FAILED, Reason.JOB_LOST.value, 1)


def test_a_job_is_at_least_as_killable_as_its_guard(home: RealHome) -> None:
    """By the kernel's own score: the guard's is never above its driver's, and the supervisor's is left alone."""
    home.start()
    home.submit("job", sys.executable, "-c", "x = b'x' * (64 << 20); print(flush=True); import time; time.sleep(100)")
    output = home.place("job") / "output"
    until(lambda: output.exists() and output.stat().st_size)
    guard, driver = home.pids("job")

    def of(pid: int, what: str) -> int:
        return int(Path(f"/proc/{pid}/{what}").read_text(encoding="ascii"))

    assert of(driver, "oom_score") >= of(guard, "oom_score")
    assert of(driver, "oom_score_adj") >= of(guard, "oom_score_adj")
    assert of(guard, "oom_score_adj") == of(os.getpid(), "oom_score_adj"), "nobody has asked for another one"
    assert int(Path(f"/proc/{guard}/statm").read_text(encoding="ascii").split()[1]) * 4 <= 256 < 64 << 10
