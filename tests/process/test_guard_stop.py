"""Stops: who asked, how far the ladder went, what can't be ended, and every race with the end itself."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from crash.harness import (
    Owner,
    Ready,
    Tree,
    compiled,
    kill_quietly,
    need,
    need_root,
    open_folder,
    start_time,
    strays,
    until,
)

from raydp_wrap.errors import GuardUnresponsiveError, StopPendingError, WaitTimeoutError
from raydp_wrap.model import Cause, Launch, Rung
from raydp_wrap.process import Guard, News, Phase
from raydp_wrap.process import record as records

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.usefixtures("strays")
__all__ = ["open_folder", "strays"]

STUBBORN = ("/bin/sh", "-c", "trap '' TERM INT; echo ready; while :; do sleep 60; done")


def stubborn(**options: object) -> Guard:
    ready = Ready()
    try:
        guard = Guard.start(Launch(argv=STUBBORN), stdout=ready.write_end, **options)  # type: ignore[arg-type]
        ready.wait()
    finally:
        ready.close()
    return guard


@pytest.mark.requirement("guard-2.5", "fault-7")
def test_the_ladder_ends_in_sigkill() -> None:
    with stubborn(grace=0.05) as guard:
        guard.stop()
        record = guard.wait(30)
    assert record.driver is not None
    assert (record.driver.signal, record.driver.rung) == (signal.SIGKILL, Rung.KILL)
    assert record.cause is Cause.REQUEST


@pytest.mark.requirement("guard-2.5")
@pytest.mark.parametrize("second", [{"grace": 0.05}, {"grace": 0.0}, {"signal": signal.SIGKILL}])
def test_a_second_stop_shortens_the_grace(second: dict[str, float]) -> None:
    with stubborn(grace=3600) as guard:
        guard.stop(label="first")
        guard.stop(label="second", **second)  # type: ignore[arg-type]
        record = guard.wait(30)
    assert record.driver is not None
    assert (record.driver.signal, record.driver.rung) == (signal.SIGKILL, Rung.KILL)
    assert record.stop is not None
    assert record.stop.label == "first"


@pytest.mark.requirement("guard-2.5")
def test_a_second_stop_never_lengthens_the_grace() -> None:
    with stubborn(grace=0.3) as guard:
        guard.stop()
        guard.stop(grace=3600)
        assert guard.wait(30).tree_empty


@pytest.mark.requirement("guard-2.5")
def test_a_grace_past_the_end_of_time_is_not_over_at_once() -> None:
    with stubborn(grace=60) as guard:
        guard.stop(grace=9.2e9)  # nanoseconds that fit; added to now, they don't
        with pytest.raises(WaitTimeoutError):
            guard.wait(0.3)
        guard.stop(grace=0)
        guard.wait(30)


@pytest.mark.requirement("guard-2.5")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_signal_to_the_guard_is_a_stop(number: int) -> None:
    with Guard.start(Launch(argv=("/bin/sleep", "60"))) as guard:
        os.kill(guard.guard_pid, number)
        record = guard.wait(30)
    assert record.cause is Cause.SIGNAL
    assert record.stop is not None
    assert (record.stop.signal, record.stop.pid, record.stop.uid) == (number, os.getpid(), os.getuid())
    assert record.driver is not None
    assert record.driver.signal == number


@pytest.mark.requirement("guard-2.6", "fault-2")
def test_a_stop_that_was_asked_for_outlives_the_guard() -> None:
    with stubborn(grace=60) as guard:
        guard.stop(label="operator")
        kill_quietly(guard.guard_pid)
        until(lambda: start_time(guard.pid) is None, "the driver dies with its guard, before anybody sweeps")
        record = guard.wait(30)
    assert record.cause is Cause.GUARD_LOST
    assert record.driver is None
    assert record.stop is not None
    assert record.stop.label == "operator"


@pytest.mark.requirement("fault-9")
def test_a_stop_that_comes_after_the_end_is_no_cause() -> None:
    """Both wait for the guard at once: the driver's own exit, the stop and the deadline."""
    read_end, write_end = os.pipe()
    launch = Launch(argv=("/bin/sh", "-c", "read x; exit 6"))
    with Guard.start(launch, stdin=read_end, active_deadline=0.2) as guard:
        os.close(read_end)
        os.kill(guard.guard_pid, signal.SIGSTOP)
        os.close(write_end)
        until(lambda: start_time(guard.pid) is None, "the driver has exited")
        with pytest.raises(WaitTimeoutError):
            guard.wait(0.3)  # the deadline passes meanwhile
        guard.stop()  # which lets the guard go on, too
        record = guard.wait(30)
    assert record.cause is Cause.NONE
    assert record.stop is None
    assert record.driver is not None
    assert record.driver.code == 6


def stop_at_random(times: int) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    seen = dict.fromkeys(Cause, 0)
    for number in range(times):
        deadline = 0.001 + rng.random() * 0.004 if number % 3 == 0 else None
        with Guard.start(
            Launch(argv=("/bin/sh", "-c", "exit 1")), active_deadline=deadline, containment="tree"
        ) as guard:
            at = time.perf_counter() + rng.random() * 0.004
            while time.perf_counter() < at:
                pass
            guard.stop(grace=rng.choice((0.0, 0.001, 5.0)))
            record = guard.wait(30)
        assert record.driver is not None, record
        assert record.driver.returncode in (1, -9, -15), record
        assert record.cause in (Cause.NONE, Cause.REQUEST, Cause.ACTIVE_DEADLINE), record
        if record.cause is Cause.NONE:
            assert record.driver.returncode == 1
            assert record.stop is None
        if record.driver.signal:
            assert record.stop is not None
        seen[record.cause] += 1
    print({cause.name: count for cause, count in seen.items() if count})
    assert seen[Cause.NONE]
    assert seen[Cause.REQUEST]


@pytest.mark.requirement("fault-9")
def test_300_jobs_that_fail_while_they_are_stopped() -> None:
    stop_at_random(300)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.requirement("fault-9")
def test_10000_jobs_that_fail_while_they_are_stopped() -> None:
    stop_at_random(10000)


def flood(guard: Guard) -> None:
    for _ in range(2000):  # more than its queue holds
        guard.ready()


@pytest.mark.requirement("fault-11")
def test_a_stopped_guard_does_not_answer_and_nothing_hangs() -> None:
    with stubborn(grace=0.05, sweep_grace=0.05) as guard:
        os.kill(guard.guard_pid, signal.SIGSTOP)
        with pytest.raises(GuardUnresponsiveError):
            guard.state(0.2)
        with pytest.raises(WaitTimeoutError):
            guard.wait(0.2)
        with pytest.raises(GuardUnresponsiveError):
            flood(guard)
        os.kill(guard.guard_pid, signal.SIGCONT)
        assert guard.state() is Phase.RUNNING
        os.kill(guard.guard_pid, signal.SIGSTOP)
    assert not os.path.exists(f"/proc/{guard.pid}/exe"), "close ends the tree of a stopped guard too"


# ---- what can't be ended -----------------------------------------------------------------------


@pytest.fixture
def frozen() -> Iterator[Path]:
    need_root()
    root = Path("/sys/fs/cgroup/freezer")
    need(
        (root / "tasks").exists() and os.access(root, os.W_OK), "no cgroup v1 freezer, whose members SIGKILL waits for"
    )
    group = root / f"raydp-wrap-test-{os.getpid()}"
    group.mkdir()
    yield group
    (group / "freezer.state").write_text("THAWED")
    until(lambda: not (group / "cgroup.procs").read_text(), "its members have ended")
    group.rmdir()


@pytest.mark.requirement("fault-8")
def test_an_unkillable_driver_is_pending_never_killed(frozen: Path, tmp_path: Path) -> None:
    guard = Guard.start(
        Launch(argv=("/bin/sleep", "60")), grace=0.05, reap_timeout=0.1, record=tmp_path / "record", containment="tree"
    )
    with guard:
        (frozen / "cgroup.procs").write_text(str(guard.pid))
        (frozen / "freezer.state").write_text("FROZEN")
        until(lambda: (frozen / "freezer.state").read_text() == "FROZEN\n", "frozen")
        guard.stop()
        told = guard.read()
        assert told is not None
        assert told.news is News.STOPPING
        for _ in range(2):  # and again, as long as it lasts
            told = guard.read()
            assert told is not None
            assert told.news is News.PENDING
            assert told.survivors == (guard.pid,)
        assert guard.state() is Phase.STOPPING
        assert records.read(tmp_path / "record") is None
        (frozen / "freezer.state").write_text("THAWED")
        record = guard.wait(30)
    assert record.driver is not None
    assert (record.driver.signal, record.driver.rung) in ((9, Rung.KILL), (15, Rung.KILL))
    assert record.tree_empty
    assert record.survivors == ()


@pytest.mark.requirement("fault-8")
def test_closing_on_the_unkillable_says_so(frozen: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guard = Guard.start(Launch(argv=("/bin/sleep", "60")), grace=0.05, reap_timeout=0.1, containment="tree")
    (frozen / "cgroup.procs").write_text(str(guard.pid))
    (frozen / "freezer.state").write_text("FROZEN")
    until(lambda: (frozen / "freezer.state").read_text() == "FROZEN\n", "frozen")
    monkeypatch.setattr(guard, "_patience", 0.3)
    with pytest.raises(StopPendingError):
        guard.close()
    (frozen / "freezer.state").write_text("THAWED")
    assert guard._process is not None
    guard._process.wait(30)
    assert not os.path.exists(f"/proc/{guard.pid}/exe")


def foreign_program(folder: Path) -> str:
    """A program that, started by anybody in FOLDER, becomes root's."""
    need_root()
    need(not os.statvfs(folder).f_flag & os.ST_NOSUID, "set-uid programs are ignored here")
    path = folder / "become_root"
    shutil.copy(compiled("become_root.c"), path)
    path.chmod(0o4755)
    return str(path)


@pytest.mark.requirement("fault-12", "tree-other-user")
def test_a_child_of_another_user_is_named(open_folder: Path) -> None:
    tree = Tree(open_folder, "alone", "stay")
    root_child = f"{foreign_program(open_folder)} {' '.join(tree.argv)} & read x; exit 0"
    ready = Ready()
    read_end, write_end = os.pipe()
    start = {
        "containment": "tree", "sweep_grace": 0.05, "reap_timeout": 0.2, "record": str(open_folder / "record"),
        "stdout": ready.write_end, "stdin": read_end,
    }  # fmt: skip
    plan = {"argv": ["/bin/sh", "-c", root_child], "start": start, "then": ["wait", "close"], "uid": 65534}
    owner = Owner(plan, pass_fds=[ready.write_end, read_end])
    os.close(read_end)
    survivor = 0
    try:
        owner.started()
        ready.wait()
        survivor = tree.noted()[0][0]
        os.close(write_end)
        owner.go()
        told = owner.line()
        assert told["survivors"] == [survivor]
        assert not told["tree_empty"]
        assert told["code"] == 0
        found = records.read(open_folder / "record")
        assert found is not None
        assert (found.survivors, found.tree_empty) == ((survivor,), False)
        owner.go()
        assert owner.line()["closed"]
        assert tree.alive(), "it really could not be ended"
    finally:
        for pid, _ in tree.noted():
            kill_quietly(pid)
        owner.kill()
        ready.close()
    tree.assert_gone()


@pytest.mark.requirement("fault-8", "fault-12", "tree-other-user")
def test_a_driver_of_another_user_is_pending_never_killed(open_folder: Path) -> None:
    tree = Tree(open_folder, "alone", "stay")
    ready = Ready()
    start = {
        "containment": "tree", "grace": 0.05, "reap_timeout": 0.2, "record": str(open_folder / "record"),
        "stdout": ready.write_end,
    }  # fmt: skip
    then = ["stop", "read", "read", "wait"]
    plan = {"argv": [foreign_program(open_folder), *tree.argv], "start": start, "then": then, "uid": 65534}
    owner = Owner(plan, pass_fds=[ready.write_end])
    try:
        owner.started()
        ready.wait()
        for _ in range(3):
            owner.go()
        assert owner.line()["news"] == "STOPPING"
        assert owner.line() == {"news": "PENDING", "survivors": [owner.driver]}
        assert records.read(open_folder / "record") is None
        owner.go()
        os.kill(owner.driver, signal.SIGKILL)
        told = owner.line()
        assert told["signal"] == 9
        assert told["tree_empty"]
    finally:
        for pid, _ in tree.noted():
            kill_quietly(pid)
        owner.kill()
        ready.close()
