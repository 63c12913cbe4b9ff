"""A descriptor that the guard holds: a lock on it says that the owner, the guard or the delivery is alive."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
from pathlib import Path

import pytest
from crash.harness import Owner, Tree, kill_quietly, start_time, strays, until

from raydp_wrap.errors import StartError, UsageError
from raydp_wrap.model import Cause, Launch
from raydp_wrap.process import Guard
from raydp_wrap.process import record as records

pytestmark = [pytest.mark.usefixtures("strays"), pytest.mark.requirement("guard-2.7")]
__all__ = ["strays"]

# It says that it runs, and stays: what it has got of the guard's, it keeps.
DELIVERY = 'echo $$ > "$0.part"; mv "$0.part" "$0"; exec sleep 60'


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "lock"
    path.touch()
    return path


def is_free(lock: Path) -> bool:
    fd = os.open(lock, os.O_RDWR)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True


def taken(lock: Path) -> int:
    fd = os.open(lock, os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX)
    return fd


def holders(lock: Path) -> set[int]:
    """Everybody who has it open."""
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            for fd in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    if os.path.samefile(f"/proc/{pid}/fd/{fd}", lock):
                        found.add(int(pid))
    return found


def test_it_is_held_while_the_owner_the_guard_or_the_delivery_lives_and_by_nobody_else(
    tmp_path: Path, lock: Path
) -> None:
    tree, delivered = Tree(tmp_path, "setsid"), tmp_path / "delivered"
    owner = Owner({
        "argv": tree.argv,
        "start": {"on_owner_death": ["/bin/sh", "-c", DELIVERY, str(delivered)], "sweep_grace": 0.1},
        "lock": str(lock),
    })  # fmt: skip
    owner.started()
    until(lambda: len(tree.noted()) > 1, "the driver has a child")
    assert holders(lock) == {owner.process.pid, owner.guard}
    os.kill(owner.guard, signal.SIGSTOP)
    owner.kill()
    assert not is_free(lock)
    assert holders(lock) == {owner.guard}
    os.kill(owner.guard, signal.SIGCONT)
    seen_free = False

    def delivers() -> bool:
        nonlocal seen_free
        seen_free |= is_free(lock)
        return delivered.exists()

    until(delivers, "the delivery")
    delivery = int(delivered.read_text())
    try:
        until(lambda: start_time(owner.guard) is None, "the guard is gone")
        assert not seen_free
        assert not is_free(lock)
        until(lambda: holders(lock) == {delivery}, "what the delivery ran is gone")
    finally:
        kill_quietly(delivery)
    until(lambda: is_free(lock), "the delivery is gone")
    tree.assert_gone()


def test_the_delivery_has_all_of_them_beside_its_streams(tmp_path: Path, lock: Path) -> None:
    out = tmp_path / "out"
    script = 'exec > "$0.part"; ls -l /proc/$$/fd; cat; mv "$0.part" "$0"'
    start = {"on_owner_death": ["/bin/sh", "-c", script, str(out)], "record": str(tmp_path / "record")}
    owner = Owner({"argv": ["/bin/sleep", "60"], "start": start, "lock": str(lock), "locks": 32, "env": {}})
    owner.started()
    owner.kill()
    until(out.exists, "the delivery")
    lines = out.read_text().splitlines()
    ends = [line.partition(" -> ")[2] for line in lines if " -> " in line]
    assert ends.count(str(lock)) == 32
    assert len(ends) == 32 + 3
    assert records.parse(lines[-1].encode()).cause is Cause.OWNER_DIED


def test_a_detached_guard_holds_it_to_the_end(tmp_path: Path, lock: Path) -> None:
    start = {"detached": True, "record": str(tmp_path / "record"), "socket": str(tmp_path / "socket")}
    owner = Owner({"argv": ["/bin/sleep", "60"], "start": start, "lock": str(lock)})
    owner.started()
    owner.kill()
    assert not is_free(lock)
    assert holders(lock) == {owner.guard}
    with Guard.connect(tmp_path / "socket") as guard:
        guard.stop()
        assert guard.wait(30).tree_empty
    until(lambda: is_free(lock), "the guard is gone")


def test_a_killed_guard_frees_it(lock: Path) -> None:
    fd = taken(lock)
    with Guard.start(Launch(("/bin/sleep", "60")), hold=(fd,)) as guard:
        os.close(fd)
        assert not is_free(lock)
        os.kill(guard.guard_pid, signal.SIGKILL)
        assert guard.wait(30).cause is Cause.GUARD_LOST
        assert is_free(lock)


def test_several_beside_passed_ones(tmp_path: Path, lock: Path) -> None:
    """On numbers of the guard's own, whatever numbers the driver's have."""
    passed = [os.open(tmp_path / "passed", os.O_RDWR | os.O_CREAT) for _ in range(20)]
    held = [os.open(lock, os.O_RDWR) for _ in range(20)]
    try:
        fcntl.flock(held[-1], fcntl.LOCK_EX)
        with Guard.start(Launch(("/bin/sleep", "60"), pass_fds=tuple(passed)), hold=held) as guard:
            # A vfork is over a moment before exec closes what is to be closed.
            until(lambda: len(os.listdir(f"/proc/{guard.pid}/fd")) == 3 + len(passed), "the driver has its own only")
            while held:
                os.close(held.pop())
            assert holders(lock) == {guard.guard_pid}
            assert not is_free(lock)
            guard.stop()
            assert guard.wait(30).tree_empty
        assert is_free(lock)
    finally:
        for fd in (*passed, *held):
            os.close(fd)


def test_one_that_is_not_open_is_a_failed_start() -> None:
    with pytest.raises(StartError) as caught:
        Guard.start(Launch(("/bin/true",)), hold=(987,))
    assert caught.value.stage == "fds"


def test_more_than_fit_are_refused(lock: Path) -> None:
    fd = os.open(lock, os.O_RDWR)
    try:
        with pytest.raises(UsageError, match="at most 32"):
            Guard.start(Launch(("/bin/true",)), hold=(fd,) * 33)
    finally:
        os.close(fd)


@pytest.mark.requirement("guard-2.10")
def test_a_guard_keeps_no_copy_of_the_command_line(tmp_path: Path) -> None:
    """Everybody can read it, and a driver may wipe a password off its own."""
    launch = Launch(("sh", "-c", "echo up; sleep 1000; exit 0", "--password=TOPSEKRIT"))
    with open(tmp_path / "out", "wb") as out, Guard.start(launch, stdout=out, on_owner_death=["/bin/true"]) as guard:
        assert b"TOPSEKRIT" in Path(f"/proc/{guard.pid}/cmdline").read_bytes()
        shown = Path(f"/proc/{guard.guard_pid}/cmdline").read_bytes()
        assert shown.startswith(b"raydp-guard\0")
        assert b"TOPSEKRIT" not in shown
        guard.stop(grace=0)
        guard.wait()
