"""Workers' sockets: private, length-checked, ready or dead without polling."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from programs.alarms import alarms
from programs.compiled import tiny
from programs.facts import DEADLINE, environment, eventually, nothing_left, open_fds, state

from raydp_wrap.errors import UsageError, WaitTimeoutError, WorkerDiedError
from raydp_wrap.process import PIPE, Peer, Process, SocketDirectory, peer, private_directory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

METHODS = [1, 2, 3]

# Binds, listens and accepts, each when it is told to on stdin; then echoes one line.
WORKER = """
import os, socket, sys
steps = socket.socket(socket.AF_UNIX)
sys.stdin.readline()
steps.bind(sys.argv[1])
sys.stdin.readline()
steps.listen(int(sys.argv[2]))
connection, _ = steps.accept()
connection.sendall(connection.recv(100))
sys.stdin.readline()
"""


@pytest.fixture
def sockets(tmp_path: Path) -> Iterator[SocketDirectory]:
    with SocketDirectory(tmp_path / "sockets") as directory:
        yield directory
    assert not (tmp_path / "sockets").exists()


@contextlib.contextmanager
def worker(path: Path, steps: int, **options: object) -> Iterator[Process]:
    process = Process(
        [sys.executable, "-c", WORKER, str(path), "5"],
        stdin=PIPE,
        env=environment(),
        **options,  # type: ignore[arg-type]
    )
    assert process.stdin is not None
    process.stdin.write(b"\n" * steps)
    process.stdin.flush()
    try:
        yield process
    finally:
        process.stdin.close()
        process.stop(0)


def step(process: Process) -> None:
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.flush()


# -- readiness --------------------------------------------------------------------------------


@pytest.mark.requirement("core-1.5")
@pytest.mark.parametrize("method", METHODS)
def test_a_worker_that_accepts(sockets: SocketDirectory, method: int) -> None:
    with worker(sockets.path("w"), 2, method=method) as process:
        with sockets.wait("w", process, DEADLINE) as connected:
            assert connected.getblocking()
            connected.sendall(b"hello")
            assert connected.recv(100) == b"hello"
            assert peer(connected.fileno()).pid == process.pid
        step(process)
        assert process.wait(DEADLINE) == 0


@pytest.mark.requirement("core-1.5")
def test_bound_is_not_yet_listening(sockets: SocketDirectory) -> None:
    path = sockets.path("w")
    with worker(path, 0) as process:
        with pytest.raises(WaitTimeoutError):
            sockets.wait("w", process, 0.01)
        step(process)
        eventually(path.exists, "it is bound")
        with pytest.raises(WaitTimeoutError):
            sockets.wait("w", process, 0.01)
        step(process)
        sockets.wait("w", process, DEADLINE).close()


@pytest.mark.requirement("core-1.5")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("steps", [0, 1])
def test_a_dead_worker_ends_the_wait(sockets: SocketDirectory, method: int, steps: int) -> None:
    """Before it bound, and between bind and listen."""
    path = sockets.path("w")
    with worker(path, steps, method=method) as process:
        if steps:
            eventually(path.exists, "it is bound")
        threading.Timer(0.01, process.kill).start()
        with pytest.raises(WorkerDiedError, match=str(process.pid)):
            sockets.wait("w", process)
        assert process.wait(DEADLINE) == -9
        with pytest.raises(WorkerDiedError):
            sockets.wait("w", process)


@pytest.mark.requirement("core-1.5")
def test_a_worker_that_ended_unseen(sockets: SocketDirectory) -> None:
    process = Process([tiny(), "3"])
    eventually(lambda: state(process.pid) == "Z", "it has ended")
    with pytest.raises(WorkerDiedError, match=r"\(3\)"):
        sockets.wait("w", process)
    assert process.returncode == 3


@pytest.mark.requirement("core-1.5")
def test_a_full_backlog_is_waited_out(sockets: SocketDirectory) -> None:
    listening = sockets.listen("w", 0)
    process = Process([tiny(), "pause"])
    held = [sockets.wait("w", process, DEADLINE)]
    with contextlib.suppress(WaitTimeoutError):
        while True:
            held.append(sockets.wait("w", process, 0.01))
    threading.Timer(0.01, process.kill).start()
    with pytest.raises(WorkerDiedError):
        sockets.wait("w", process)
    for connected in held:
        connected.close()
    os.close(listening)
    process.wait(DEADLINE)


@pytest.mark.requirement("core-1.5")
def test_many_waiters_at_once_do_not_eat_each_others_events(sockets: SocketDirectory) -> None:
    count = 24
    process = Process([tiny(), "pause"])
    served: list[socket.socket] = []

    def serve(name: str) -> None:
        served.append(sockets.wait(name, process, DEADLINE))

    for _ in range(5):
        threads = [threading.Thread(target=serve, args=(f"w{i}",)) for i in range(count)]
        for thread in threads:
            thread.start()
        listening = [sockets.listen(f"w{i}") for i in range(count)]
        for thread in threads:
            thread.join(DEADLINE)
        assert len(served) == count
        for connected in served:
            connected.close()
        served.clear()
        for i, fd in enumerate(listening):
            os.close(fd)
            sockets.path(f"w{i}").unlink()
    process.stop(0)
    assert sum("inotify" in target for target in open_fds().values()) <= count, "they are kept, not piled up"


@pytest.mark.requirement("core-1.5")
def test_signal_handlers_run_while_waiting(sockets: SocketDirectory) -> None:
    process = Process([tiny(), "pause"])
    with alarms(process.kill, 0.01), pytest.raises(WorkerDiedError):
        sockets.wait("w", process, DEADLINE)
    process.wait(DEADLINE)


@pytest.mark.requirement("core-1.5")
def test_something_else_in_the_sockets_place(sockets: SocketDirectory) -> None:
    process = Process([tiny(), "pause"])
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(sockets.path("w")))
        with pytest.raises(OSError, match="wrong type") as refused:
            sockets.wait("w", process, DEADLINE)
        assert refused.value.errno == errno.EPROTOTYPE
    process.stop(0)


# -- socket activation, peers -----------------------------------------------------------------

ACTIVATED = """
import os, socket
assert os.environ["LISTEN_PID"] == str(os.getpid()) and os.environ["LISTEN_FDS"] == "1"
connection, _ = socket.socket(fileno=3).accept()
connection.sendall(b"served")
"""


@pytest.mark.requirement("core-1.5")
def test_socket_activation(sockets: SocketDirectory) -> None:
    with nothing_left():
        listening = sockets.listen("w")
        assert stat.S_IMODE(sockets.path("w").stat().st_mode) == 0o600
        with socket.socket(socket.AF_UNIX) as early:
            early.connect(str(sockets.path("w")))  # before there is a worker
            process = Process([sys.executable, "-c", ACTIVATED], listen_fds=[listening], env=environment())
            os.close(listening)
            assert early.recv(100) == b"served"
            assert process.wait(DEADLINE) == 0
    with pytest.raises(OSError, match="use") as taken:
        sockets.listen("w")
    assert taken.value.errno == errno.EADDRINUSE


@pytest.mark.requirement("core-1.5")
@pytest.mark.parametrize("mask", [0o000, 0o022, 0o277, 0o777])
def test_a_socket_is_0600_under_any_umask(sockets: SocketDirectory, mask: int) -> None:
    before = os.umask(mask)
    try:
        os.close(sockets.listen("w"))
    finally:
        os.umask(before)
    assert stat.S_IMODE(sockets.path("w").stat().st_mode) == 0o600


@pytest.mark.requirement("core-1.5")
def test_peers_are_known() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert peer(ours.fileno()) == Peer(os.getpid(), os.getuid(), os.getgid())
    with open("/dev/null", "rb") as file, pytest.raises(OSError, match="non-socket"):
        peer(file.fileno())


# -- the directory ----------------------------------------------------------------------------


@pytest.mark.requirement("core-1.5")
def test_paths_are_length_checked(tmp_path: Path) -> None:
    with SocketDirectory(tmp_path / "s") as sockets:
        room = 107 - len(os.fsencode(sockets.directory)) - 1
        os.close(sockets.listen("x" * room))
        assert sockets.path("x" * room).is_socket()
        for name in ("x" * (room + 1), "é" * room):
            with pytest.raises(UsageError, match="107") as refused:
                sockets.path(name)
            assert "\n" not in str(refused.value)
        with pytest.raises(UsageError):
            sockets.listen("x" * (room + 1))
        for name in ("", ".", "..", "a/b", "a\0b"):
            with pytest.raises(UsageError):
                sockets.path(name)


@pytest.mark.requirement("core-1.5")
@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_a_new_directory_is_private(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        found = private_directory(tmp_path / "deep" / "s")
    finally:
        os.umask(before)
    assert stat.S_IMODE(found.stat().st_mode) == 0o700
    assert private_directory(found) == found


@pytest.mark.requirement("core-1.5")
@pytest.mark.parametrize("case", ["link", "file", "group", "other", "foreign", "open parent", "open grandparent"])
def test_a_directory_that_is_not_private_is_refused(tmp_path: Path, case: str) -> None:
    parent = tmp_path / "parent"
    path = parent / "inner" / "s"
    path.mkdir(parents=True, mode=0o700)
    path.parent.chmod(0o700)
    path.chmod(0o700)
    if case == "link":
        path.rename(parent / "real")
        path.symlink_to(parent / "real")
    elif case == "file":
        path.rmdir()
        path.touch()
    elif case == "group":
        path.chmod(0o750)
    elif case == "other":
        path.chmod(0o701)
    elif case == "foreign":
        if os.getuid() != 0:
            pytest.skip("needs root, to give a directory away")
        os.chown(path, 65534, 65534)
    elif case == "open parent":
        path.parent.chmod(0o777)
    else:
        parent.chmod(0o720)
    with pytest.raises(UsageError) as refused, SocketDirectory(path):
        pass
    assert "\n" not in str(refused.value)
    assert path.parent.exists()


@pytest.mark.requirement("core-1.5")
def test_a_sticky_parent_will_do(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp").chmod(0o1777)
    assert private_directory(tmp_path / "tmp" / "s").is_dir()


@pytest.mark.requirement("core-1.5")
def test_closing_removes_what_was_made_and_nothing_else(tmp_path: Path) -> None:
    with nothing_left():
        sockets = SocketDirectory(tmp_path / "new")
        os.close(sockets.listen("w"))
        process = Process([tiny(), "pause"])
        with pytest.raises(WaitTimeoutError):
            sockets.wait("none", process, 0)
        process.stop(0)
        sockets.close()
        sockets.close()
        assert not (tmp_path / "new").exists()
        with pytest.raises(UsageError):
            sockets.path("w")
    (tmp_path / "old").mkdir(mode=0o700)
    SocketDirectory(tmp_path / "old").close()
    assert (tmp_path / "old").is_dir()
    with SocketDirectory(tmp_path / "kept") as sockets:
        (sockets.directory / "precious").write_text("x")
    assert (tmp_path / "kept" / "precious").exists()
