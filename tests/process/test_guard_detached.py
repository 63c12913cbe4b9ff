"""Detached: it goes on without an owner, keeps the deadlines, and serves whoever may connect."""

from __future__ import annotations

import ctypes
import os
import socket
import stat
import struct
import time
from typing import TYPE_CHECKING

import pytest
from crash.harness import Owner, Tree, need_root, strays, until

from raydp_wrap._native import ffi, lib
from raydp_wrap.errors import GuardLostError, GuardUnresponsiveError, UsageError, WaitTimeoutError
from raydp_wrap.model import Cause, Launch
from raydp_wrap.process import Guard, Phase
from raydp_wrap.process import record as records

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.usefixtures("strays"), pytest.mark.requirement("guard-2.3")]
__all__ = ["strays"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "state"
    made.mkdir(mode=0o700)
    return made


def detached(folder: Path, *argv: str, **options: object) -> Guard:
    return Guard.start(
        Launch(argv=argv or ("/bin/sleep", "60")),
        detached=True,
        socket=folder / "socket",
        record=folder / "record",
        **options,  # type: ignore[arg-type]
    )


@pytest.fixture
def job(folder: Path) -> Iterator[Guard]:
    """One that is ended, and reaped, whatever the test does."""
    guard = detached(folder, grace=0.5)
    yield guard
    guard.stop(grace=0)
    guard.wait(30)
    assert guard._process is not None
    guard._process.wait(30)
    guard.close()


def raw(folder: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    client.settimeout(20)
    client.connect(str(folder / "socket"))
    return client


def orphaned(tree: Tree, folder: Path, **start: object) -> Owner:
    """A detached job whose owner has been killed."""
    options = {
        "detached": True, "socket": str(folder / "socket"), "record": str(folder / "record"),
        "identity": tree.marker, "grace": 0.2, "sweep_grace": 0.1, **start,
    }  # fmt: skip
    owner = Owner({"argv": tree.argv, "start": options})
    owner.started()
    owner.kill()
    return owner


@pytest.mark.requirement("fault-1")
def test_it_survives_its_owner_and_an_owner_comes_again(folder: Path) -> None:
    tree = Tree(folder, "setsid")
    owner = orphaned(tree, folder)
    guard = Guard.connect(folder / "socket")
    assert (guard.phase, guard.pid, guard.guard_pid) == (Phase.RUNNING, owner.driver, owner.guard)
    assert guard.state() is Phase.RUNNING
    guard.close()
    with Guard.connect(folder / "socket") as guard:
        assert guard.state() is Phase.RUNNING, "letting go ends nothing"
        guard.stop(label="the next owner")
        record = guard.wait(30)
    assert record.cause is Cause.REQUEST
    assert record.stop is not None
    assert (record.stop.pid, record.stop.uid, record.stop.label) == (os.getpid(), os.getuid(), "the next owner")
    assert record.tree_empty
    tree.assert_gone()
    found = records.read(folder / "record")
    assert found is not None
    assert found.identity == tree.marker
    assert not (folder / "socket").exists()
    with pytest.raises(GuardLostError):
        Guard.connect(folder / "socket")


@pytest.mark.parametrize("kind", ["active_deadline", "start_deadline"])
def test_deadlines_hold_with_no_owner_alive(folder: Path, kind: str) -> None:
    tree = Tree(folder, "setsid")
    orphaned(tree, folder, **{kind: 0.3})
    record = until(lambda: records.read(folder / "record"), "the record")
    assert record.cause is {"active_deadline": Cause.ACTIVE_DEADLINE, "start_deadline": Cause.START_DEADLINE}[kind]
    assert record.duration >= 0.3
    tree.assert_gone()


def test_ready_meets_the_start_deadline(folder: Path) -> None:
    tree = Tree(folder, "setsid")
    orphaned(tree, folder, start_deadline=0.4)
    with Guard.connect(folder / "socket") as guard:
        guard.ready()
        with pytest.raises(WaitTimeoutError):
            guard.wait(0.8)
        guard.stop()
        assert guard.wait(30).cause is Cause.REQUEST
    tree.assert_gone()


def test_the_socket_is_private_under_any_umask(folder: Path) -> None:
    before = os.umask(0)
    try:
        guard = detached(folder)
    finally:
        os.umask(before)
    assert stat.S_IMODE((folder / "socket").stat().st_mode) == 0o600
    guard.stop()
    guard.wait(30)
    assert stat.S_IMODE((folder / "record").stat().st_mode) == 0o600
    assert guard._process is not None
    guard._process.wait(30)
    guard.close()
    assert os.listdir(folder) == ["record"]


def test_a_socket_elsewhere_than_the_record_is_refused(tmp_path: Path) -> None:
    for record in (None, tmp_path / "elsewhere" / "record"):
        with pytest.raises(UsageError):
            Guard.start(Launch(argv=("/bin/true",)), detached=True, socket=tmp_path / "socket", record=record)
    assert os.listdir(tmp_path) == []


def test_another_user_is_refused(folder: Path, job: Guard) -> None:
    """The mode keeps strangers out; if it is opened, SO_PEERCRED does."""
    need_root()
    at = folder
    while at != at.parent:
        if not at.stat().st_mode & 0o001:
            at.chmod(at.stat().st_mode | 0o011)
        at = at.parent
        if at.name == "tmp" or at == at.parent:
            break
    (folder / "socket").chmod(0o666)
    pid = os.fork()
    if pid == 0:
        try:
            libc = ctypes.CDLL(None)
            libc.setresgid(65534, 65534, 65534)
            libc.setresuid(65534, 65534, 65534)
            client = raw(folder)
            client.send(ask(1))
            os._exit(0 if client.recv(4096) == b"" else 1)
        except (BrokenPipeError, ConnectionResetError):
            os._exit(0)
        except BaseException:  # noqa: BLE001 - a forked child leaves here
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert job.state() is Phase.RUNNING


def ask(kind: int, *, version: int = 1, number: int = 0, grace: int = -1) -> bytes:
    data = struct.pack("<IIiiq64s", version, kind, number, 0, grace, b"raw")
    assert len(data) == ffi.sizeof("rd_guard_ask")
    return data


MALFORMED = [
    b"",
    b"x",
    ask(1)[:-1],
    ask(1) + b"x",
    bytes(100_000),
    ask(1, version=2),
    ask(1, version=0),
    ask(99),
    ask(0),
    ask(1, number=65),
    ask(1, number=-9),
    ask(2, number=0),
    ask(2, number=9999),
]


@pytest.mark.parametrize("data", MALFORMED, ids=range(len(MALFORMED)))
def test_malformed_datagrams_are_dropped(folder: Path, job: Guard, data: bytes) -> None:
    with raw(folder) as client:
        client.recv(4096)  # the state, at the door
        client.send(data)
        client.send(ask(lib.RD_ASK_STATE))
        assert len(client.recv(4096)) == ffi.sizeof("rd_guard_tell")
    with socket.socket(fileno=os.dup(job.fileno())) as starter:
        starter.send(data)
    assert job.state() is Phase.RUNNING


def test_malformed_datagrams_do_not_end_an_attached_job() -> None:
    with Guard.start(Launch(argv=("/bin/sleep", "60")), grace=0.5) as guard:
        with socket.socket(fileno=os.dup(guard.fileno())) as owner:
            for data in MALFORMED:
                owner.send(data)
        assert guard.state() is Phase.RUNNING


def test_five_connections(folder: Path, job: Guard) -> None:
    """Four are served; one more waits until somebody leaves."""
    four = [Guard.connect(folder / "socket") for _ in range(4)]
    assert [guard.state() for guard in four] == [Phase.RUNNING] * 4
    with pytest.raises(GuardUnresponsiveError):
        Guard.connect(folder / "socket", timeout=0.2)
    four.pop().close()
    with Guard.connect(folder / "socket") as fifth:
        assert fifth.state() is Phase.RUNNING
        job.stop(grace=0)
        for guard in (*four, fifth, job):
            assert guard.wait(30).cause is Cause.REQUEST
    for guard in four:
        guard.close()


@pytest.mark.requirement("fault-11")
def test_a_stopped_guard_does_not_answer_a_new_owner(folder: Path, job: Guard) -> None:
    os.kill(job.guard_pid, 19)
    try:
        with pytest.raises(GuardUnresponsiveError):
            Guard.connect(folder / "socket", timeout=0.2)
        assert records.read(folder / "record") is None
    finally:
        os.kill(job.guard_pid, 18)
    with Guard.connect(folder / "socket") as guard:
        assert guard.state() is Phase.RUNNING


def test_clients_that_come_and_go_at_any_moment(folder: Path, job: Guard) -> None:
    for number in range(200):
        with raw(folder) as client:
            if number % 2:
                client.send(ask(lib.RD_ASK_STATE))
            if number % 3 == 0:
                client.recv(4096)
    deadline = time.monotonic() + 20
    while True:
        try:
            with Guard.connect(folder / "socket") as guard:
                assert guard.state() is Phase.RUNNING
            break
        except BlockingIOError:  # its backlog is still full of those
            assert time.monotonic() < deadline
    assert job.state() is Phase.RUNNING
