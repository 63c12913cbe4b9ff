"""The stop ladder: signal, grace, SIGKILL, bounded reap; never a stranger, never a false end."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from programs.compiled import STATIC, compiled, tiny
from programs.facts import DEADLINE, V2, alive, cgroup, eventually, nothing_left, open_fds, state

from raydp_wrap.errors import StopPendingError
from raydp_wrap.model import Rung
from raydp_wrap.process import PIPE, Process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

METHODS = [1, 2, 3]
FREEZER = "/sys/fs/cgroup/freezer"
LONG = 600.0  # a grace that no test can wait for
SHORT = 0.02

needs_v2 = pytest.mark.skipif(not os.access(os.path.join(V2, "cgroup.procs"), os.W_OK), reason="no writable cgroup v2")
needs_freezer = pytest.mark.skipif(not os.access(FREEZER, os.W_OK), reason="no writable freezer cgroup (v1)")


def said(process: Process) -> None:
    """Wait until the program says that it is ready."""
    assert process.stdout is not None
    assert process.stdout.read(1) == b"!"


def deaf(**options: object) -> Process:
    """A process that ignores TERM."""
    process = Process([tiny(), "deaf"], stdout=PIPE, **options)  # type: ignore[arg-type]
    said(process)
    return process


def close(process: Process) -> None:
    assert process.stdout is not None
    process.stdout.close()


# -- one process ------------------------------------------------------------------------------


@pytest.mark.requirement("core-1.4")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scope", ["process", "group"])
def test_each_rung(method: int, scope: str) -> None:
    start = {"method": method, "new_group": True}
    ended = Process([tiny(), "3"], **start)  # type: ignore[arg-type]
    eventually(lambda: state(ended.pid) == "Z", "it has ended")
    exit_ = ended.stop(LONG, scope=scope)  # type: ignore[arg-type]
    assert (exit_.code, exit_.rung) == (3, Rung.NONE)
    heeds = Process([tiny(), "pause"], **start)  # type: ignore[arg-type]
    exit_ = heeds.stop(LONG, scope=scope)  # type: ignore[arg-type]
    assert (exit_.signal, exit_.rung) == (signal.SIGTERM, Rung.SIGNAL)
    other = Process([tiny(), "pause"], **start)  # type: ignore[arg-type]
    exit_ = other.stop(LONG, scope=scope, signal=signal.SIGINT)  # type: ignore[arg-type]
    assert (exit_.signal, exit_.rung) == (signal.SIGINT, Rung.SIGNAL)
    none = Process([tiny(), "pause"], **start)  # type: ignore[arg-type]
    exit_ = none.stop(0, scope=scope)  # type: ignore[arg-type]
    assert (exit_.signal, exit_.rung) == (signal.SIGKILL, Rung.KILL)
    assert none.stop(LONG) is exit_
    assert none.poll() == none.wait() == -9


@pytest.mark.requirement("core-1.4", "fault-7")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scope", ["process", "group"])
def test_a_deaf_process_is_killed(method: int, scope: str) -> None:
    process = deaf(method=method, new_session=True)
    exit_ = process.stop(SHORT, scope=scope)  # type: ignore[arg-type]
    close(process)
    assert (exit_.signal, exit_.rung) == (signal.SIGKILL, Rung.KILL)


@pytest.mark.requirement("core-1.4", "fault-7")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scope", ["process", "group"])
def test_a_stopped_process_hears_the_signal(method: int, scope: str) -> None:
    process = Process([tiny(), "pause"], method=method, new_group=True)
    process.send_signal(signal.SIGSTOP)
    eventually(lambda: state(process.pid) == "T", "it is stopped")
    exit_ = process.stop(LONG, scope=scope)  # type: ignore[arg-type]
    assert (exit_.signal, exit_.rung) == (signal.SIGTERM, Rung.SIGNAL)
    process = deaf(method=method, new_group=True)
    process.send_signal(signal.SIGSTOP)
    eventually(lambda: state(process.pid) == "T", "it is stopped")
    exit_ = process.stop(SHORT, scope=scope)  # type: ignore[arg-type]
    close(process)
    assert (exit_.signal, exit_.rung) == (signal.SIGKILL, Rung.KILL)


@pytest.mark.requirement("core-1.4", "run-3.1")
def test_another_thread_can_look_and_cut_the_grace_short() -> None:
    process = deaf()
    ends = []
    stopper = threading.Thread(target=lambda: ends.append(process.stop(LONG)))
    stopper.start()
    # TERM is ignored, so the ladder stands at its first rung now or soon.
    assert process.poll() is None
    with pytest.raises(TimeoutError):
        process.wait(SHORT)
    process.kill()
    stopper.join(DEADLINE)
    assert not stopper.is_alive()
    close(process)
    assert ends[0].signal == signal.SIGKILL
    assert process.wait(DEADLINE) == -9


# -- a group ----------------------------------------------------------------------------------


def shell(script: str, **options: object) -> Process:
    return Process(["sh", "-c", script], stdout=PIPE, **{"new_session": True, **options})  # type: ignore[arg-type]


def members(group: int) -> list[int]:
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                    fields = file.read().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[2]) == group and fields[0] not in "ZX":
                found.append(int(name))
    return found


@pytest.fixture
def orphans() -> Iterator[None]:
    """Members of a group that outlive its leader come to us, the subreaper: reap the dead ones."""
    yield
    while True:
        try:
            if not os.waitpid(-1, os.WNOHANG)[0]:
                break
        except ChildProcessError:
            break


@pytest.mark.requirement("core-1.4", "fault-7")
@pytest.mark.usefixtures("orphans")
@pytest.mark.parametrize("method", METHODS)
def test_the_whole_group_is_ended(method: int) -> None:
    program = shlex.quote(tiny())
    process = shell(f"{program} pause & {program} pause & {program} deaf & wait", method=method)
    said(process)
    assert len(members(process.pid)) == 4
    exit_ = process.stop(SHORT, scope="group")
    close(process)
    assert members(process.pid) == []
    assert (exit_.signal, exit_.rung) == (signal.SIGTERM, Rung.KILL)


@pytest.mark.requirement("core-1.4")
@pytest.mark.usefixtures("orphans")
def test_the_grace_is_every_members(tmp_path: Path) -> None:
    """The leader ends at once; the work it started is given the time to clean up."""
    marker = tmp_path / "clean"
    worker = f"trap 'read x < {tmp_path}/go; echo > {marker}; exit' TERM; printf !; while :; do sleep 0.01; done"
    os.mkfifo(tmp_path / "go")
    process = shell(f"sh -c {shlex.quote(worker)} & wait")
    said(process)
    ends = []
    stopper = threading.Thread(target=lambda: ends.append(process.stop(LONG, scope="group")))
    stopper.start()
    eventually(lambda: state(process.pid) == "Z", "the leader has ended")
    (tmp_path / "go").write_text("\n")
    stopper.join(DEADLINE)
    close(process)
    assert marker.exists()
    assert (ends[0].signal, ends[0].rung) == (signal.SIGTERM, Rung.SIGNAL)


@pytest.mark.requirement("core-1.4")
@pytest.mark.usefixtures("orphans")
@pytest.mark.parametrize("method", METHODS)
def test_what_an_ended_leader_left_is_killed(method: int) -> None:
    process = shell(f"{shlex.quote(tiny())} deaf & exit 4", method=method)
    said(process)
    eventually(lambda: state(process.pid) == "Z", "the leader has ended")
    exit_ = process.stop(LONG, scope="group")
    close(process)
    assert members(process.pid) == []
    assert (exit_.code, exit_.rung) == (4, Rung.NONE)


@pytest.mark.requirement("core-1.4")
@pytest.mark.parametrize("method", METHODS)
def test_a_group_of_zombies_is_empty(method: int) -> None:
    leader = Process([tiny(), "pause"], new_group=True, method=method)
    join = f"import os, sys; os.setpgid(0, {leader.pid}); os.execv(sys.argv[1], sys.argv[1:])"
    other = subprocess.Popen([sys.executable, "-c", join, tiny()])
    eventually(lambda: state(other.pid) == "Z", "a zombie that is not ours to reap")
    assert leader.stop(LONG, scope="group").rung is Rung.SIGNAL
    os.killpg(leader.pid, 0)  # and still it answers
    assert other.wait() == 0


# -- a cgroup ---------------------------------------------------------------------------------


@pytest.fixture
def group_fd() -> Iterator[tuple[str, int]]:
    with cgroup(V2, "stop") as path:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        yield path, fd
        os.close(fd)


def procs(path: str) -> list[int]:
    with open(os.path.join(path, "cgroup.procs"), encoding="ascii") as file:
        return [int(word) for word in file.read().split()]


@needs_v2
@pytest.mark.requirement("core-1.4")
@pytest.mark.usefixtures("orphans")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("kind", "rung"), [("pause", Rung.SIGNAL), ("deaf", Rung.KILL)])
def test_the_whole_cgroup_is_ended(group_fd: tuple[str, int], method: int, kind: str, rung: Rung) -> None:
    path, fd = group_fd
    echo = "echo" if kind == "pause" else kind
    program = f"setsid {shlex.quote(tiny())} {echo}"
    process = shell(f"{program} & {program} & wait", cgroup=fd, method=method)
    said(process)
    said(process)
    assert len(procs(path)) == 3
    exit_ = process.stop(LONG if kind == "pause" else SHORT, scope="cgroup")
    close(process)
    assert procs(path) == []
    assert exit_.rung is rung


@needs_v2
@pytest.mark.requirement("core-1.4")
def test_a_leader_that_left_its_cgroup_is_killed(group_fd: tuple[str, int]) -> None:
    path, fd = group_fd
    process = Process([tiny(), "pause"], cgroup=fd)
    with open(os.path.join(V2, "cgroup.procs"), "w", encoding="ascii") as file:
        file.write(str(process.pid))
    assert procs(path) == []
    exit_ = process.stop(SHORT, scope="cgroup")
    assert (exit_.signal, exit_.rung) == (signal.SIGKILL, Rung.KILL)


@needs_v2
@pytest.mark.requirement("core-1.4", "fault-8")
@pytest.mark.usefixtures("orphans")
def test_a_cgroup_that_does_not_die_is_pending(group_fd: tuple[str, int]) -> None:
    """cgroup.kill thaws v2; a member that the v1 freezer holds stays."""
    if not os.access(FREEZER, os.W_OK):
        pytest.skip("no writable freezer cgroup (v1)")
    path, fd = group_fd
    process = shell(f"{shlex.quote(tiny())} echo & exit 4", cgroup=fd)
    said(process)
    eventually(lambda: state(process.pid) == "Z", "the leader has ended")
    (member,) = procs(path)
    with frozen(member) as thaw:
        with pytest.raises(StopPendingError):
            process.stop(SHORT, scope="cgroup", reap_timeout=SHORT)
        assert process.exit is None
        thaw()
        assert process.stop(SHORT, scope="cgroup").code == 4
    close(process)


# -- what does not die ------------------------------------------------------------------------


class frozen:  # noqa: N801 - used as a function
    """PID, held by the cgroup v1 freezer: not even SIGKILL moves it until THAW is called."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.group = cgroup(FREEZER, f"freeze-{pid}")

    def _write(self, name: str, text: str) -> None:
        with open(os.path.join(self.path, name), "w", encoding="ascii") as file:
            file.write(text)

    def _state(self) -> str:
        with open(os.path.join(self.path, "freezer.state"), encoding="ascii") as file:
            return file.read().strip()

    def __enter__(self) -> Callable[[], None]:
        self.path = self.group.__enter__()
        self._write("cgroup.procs", str(self.pid))
        self._write("freezer.state", "FROZEN")
        eventually(lambda: self._state() == "FROZEN", "it is frozen")
        return self.thaw

    def thaw(self) -> None:
        self._write("freezer.state", "THAWED")

    def __exit__(self, *args: object) -> None:
        self.thaw()
        eventually(lambda: not alive(self.pid), "it has died")
        self.group.__exit__(None, None, None)


@needs_freezer
@pytest.mark.requirement("core-1.4", "fault-8")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scope", ["process", "group"])
def test_an_unkillable_process_is_pending_never_ended(method: int, scope: str) -> None:
    with nothing_left():
        process = Process([tiny(), "pause"], method=method, new_session=True)
        with frozen(process.pid) as thaw:
            for grace in (SHORT, 0):
                with pytest.raises(StopPendingError) as pending:
                    process.stop(grace, scope=scope, reap_timeout=SHORT)  # type: ignore[arg-type]
                assert isinstance(pending.value, TimeoutError)
                assert process.exit is None
                assert process.returncode is None
                assert process.poll() is None
                assert alive(process.pid)
            thaw()
            exit_ = process.stop(SHORT, scope=scope)  # type: ignore[arg-type]
            assert exit_.signal in (signal.SIGTERM, signal.SIGKILL)
        eventually(lambda: "anon_inode:[eventfd]" not in open_fds().values(), "no eventfd left")


@needs_freezer
@pytest.mark.requirement("core-1.4", "fault-8")
@pytest.mark.usefixtures("orphans")
def test_a_group_with_an_unkillable_member_is_pending() -> None:
    process = shell(f"{shlex.quote(tiny())} echo & exit 4")
    said(process)
    eventually(lambda: state(process.pid) == "Z", "the leader has ended")
    (member,) = members(process.pid)
    with frozen(member) as thaw:
        with pytest.raises(StopPendingError):
            process.stop(0, scope="group", reap_timeout=SHORT)
        assert process.exit is None
        assert state(process.pid) == "Z", "unreaped, so that the group's id is not given to a stranger"
        thaw()
        assert process.stop(0, scope="group").code == 4
    close(process)


# -- strangers --------------------------------------------------------------------------------


def reused(pid: int, kind: str) -> Process:
    """A process that has PID now, a stranger's child or ours, leading the group of that number."""
    helper = Process([compiled("reuse", *STATIC), str(pid), kind], stdout=PIPE)
    assert helper.stdout is not None
    if helper.stdout.read(1) != b"!":
        helper.stdout.close()
        assert helper.wait(DEADLINE) == 77
        pytest.skip("a pid can't be chosen here (clone3's set_tid)")
    helper.stdout.close()
    return helper


def attack(kind: str, method: int) -> None:
    process = Process([tiny(), "0"], method=method, new_group=True)
    os.waitpid(process.pid, 0)  # the host's own waitpid(-1), behind our back
    helper = reused(process.pid, kind)
    try:
        for scope in ("process", "group"):
            for number in (signal.SIGKILL, signal.SIGTERM, 0):
                process.send_signal(number, scope=scope)  # type: ignore[arg-type]
        assert alive(process.pid), "the stranger has been signalled"
        with pytest.warns(RuntimeWarning, match="reaped by someone else"):
            assert process.stop(SHORT, reap_timeout=SHORT).code == 255
        assert alive(process.pid), "the stranger has been signalled"
        process.kill()
        if kind == "sibling":
            assert os.waitpid(process.pid, os.WNOHANG) == (0, 0), "its status is not ours to take"
        assert alive(process.pid), "the stranger has been signalled"
    finally:
        os.kill(process.pid, signal.SIGKILL)
        if kind == "sibling":
            os.waitpid(process.pid, 0)
        helper.wait(DEADLINE)


# Behind a thread, a child of our own that was given the same pid can't be told from the first: not promised.
ATTACKS = [("stranger", 1), ("stranger", 2), ("stranger", 3), ("sibling", 1), ("sibling", 2)]


@pytest.mark.requirement("fault-4", "core-1.4")
@pytest.mark.parametrize(("kind", "method"), ATTACKS)
def test_a_reused_pid_is_never_signalled(kind: str, method: int) -> None:
    for _ in range(20):
        attack(kind, method)


@pytest.mark.slow
@pytest.mark.requirement("fault-4")
@pytest.mark.parametrize(("kind", "method"), ATTACKS)
def test_a_thousand_reused_pids(kind: str, method: int) -> None:
    for _ in range(200):
        attack(kind, method)


@pytest.mark.requirement("fault-4", "core-1.4")
@pytest.mark.parametrize("method", METHODS)
def test_a_reused_pid_is_never_reaped(method: int) -> None:
    """poll() of a process that someone else reaped must not take the status of our next child."""
    process = Process([tiny(), "0"], method=method)
    os.waitpid(process.pid, 0)
    helper = reused(process.pid, "stranger" if method == 3 else "sibling")
    eventually(lambda: os.path.exists(f"/proc/{process.pid}"), "the pid is in use again")
    os.kill(process.pid, signal.SIGKILL)
    if method != 3:
        eventually(lambda: state(process.pid) == "Z", "the other has ended")
    with pytest.warns(RuntimeWarning, match="reaped by someone else"):
        assert process.poll() == 255
    if method != 3:
        assert os.waitpid(process.pid, 0)[1] == signal.SIGKILL
    assert helper.wait(DEADLINE) == 0
