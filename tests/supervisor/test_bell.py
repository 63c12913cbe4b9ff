"""The bell: who rings is heard, who watches is told, and nobody can hold up the supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import resource
import signal
import socket
import stat
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from programs.facts import eventually, open_fds

from raydp_wrap.errors import SupervisorError, SupervisorGoneError
from raydp_wrap.supervisor.bell import ALL, NAME, Bell, address
from raydp_wrap.supervisor.doorbell import Doorbell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.requirement("jobs-2.1-events")


class Served:
    """A doorbell in a loop of its own, in a thread."""

    def __init__(self, home: Path) -> None:
        self.rings = threading.Semaphore(0)
        self.leaves = threading.Semaphore(0)
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.doorbell: Doorbell = self.call(lambda: self._open(home))

    def _open(self, home: Path) -> Doorbell:
        doorbell = Doorbell(home, "1.2.3", on_ring=self.rings.release, on_leave=self.leaves.release)
        doorbell.open()
        doorbell.attend()
        return doorbell

    def call(self, what: Callable[[], Any]) -> Any:
        async def called() -> Any:
            return what()

        return asyncio.run_coroutine_threadsafe(called(), self.loop).result(20)

    def tell(self, *ids: str) -> None:
        self.call(lambda: self.doorbell.tell(ids))

    def close(self) -> None:
        self.call(self.doorbell.close)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


@contextlib.contextmanager
def served(home: Path) -> Iterator[Served]:
    one = Served(home)
    try:
        yield one
    finally:
        one.close()


def raw(home: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(20)
    with address(home) as path:
        connection.connect(path)
    assert connection.recv(100).startswith(b"raydp-wrap 1.2.3 ")
    return connection


def test_a_ring_is_heard_and_a_hang_up_is_one(tmp_path: Path) -> None:
    with served(tmp_path) as one:
        with Bell.connect(tmp_path) as bell:
            assert (bell.version, bell.pid) == ("1.2.3", os.getpid())
            bell.ring()
            assert one.rings.acquire(timeout=20)
        # Who is killed between its write and its ring has rung all the same.
        assert one.rings.acquire(timeout=20)
        assert not one.rings.acquire(blocking=False)


def test_who_watches_is_told_of_what_it_watches(tmp_path: Path) -> None:
    with served(tmp_path) as one, Bell.connect(tmp_path) as bell, Bell.connect(tmp_path) as everything:
        bell.watch(["a", "b"])
        everything.watch([ALL])
        # From then on nothing is missed, so there is a look to begin with.
        assert bell.wait(20)
        assert everything.wait(20)
        one.tell("c")
        assert everything.wait(20)
        assert not bell.read()
        one.tell("c", "b")
        assert bell.wait(20)


def test_hanging_up_is_an_end_not_a_change(tmp_path: Path) -> None:
    with served(tmp_path) as one, Bell.connect(tmp_path) as bell:
        bell.watch(["a"])
        assert bell.wait(20)
        one.call(one.doorbell.close)
        with pytest.raises(SupervisorGoneError):
            bell.wait(20)
        with pytest.raises(SupervisorGoneError):
            bell.ring()


def test_nobody_there(tmp_path: Path) -> None:
    before = open_fds()
    with pytest.raises(SupervisorGoneError):
        Bell.connect(tmp_path)
    with socket.socket(socket.AF_UNIX) as dead, address(tmp_path) as path:
        dead.bind(path)
    with pytest.raises(SupervisorGoneError):
        Bell.connect(tmp_path)
    assert open_fds() == before
    with served(tmp_path), Bell.connect(tmp_path):
        pass
    assert not (tmp_path / NAME).exists()


def test_one_that_does_not_answer_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stalled:
        with address(tmp_path) as path:
            stalled.bind(path)
        stalled.listen()
        with pytest.raises(SupervisorError, match="doesn't answer"):
            Bell.connect(tmp_path, patience=0.01)


def test_something_else_that_listens_there_is_named(tmp_path: Path) -> None:
    def answer() -> None:
        with stranger.accept()[0] as connection:
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n")

    with socket.socket(socket.AF_UNIX) as stranger:
        with address(tmp_path) as path:
            stranger.bind(path)
        stranger.listen()
        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(SupervisorError, match="is no supervisor"):
            Bell.connect(tmp_path)
        thread.join()


def test_a_long_path_and_private_whatever_the_umask(tmp_path: Path) -> None:
    home = tmp_path / ("long" * 40) / ("longer" * 30)
    home.mkdir(parents=True)
    before = os.umask(0)
    try:
        with served(home), Bell.connect(home) as bell:
            assert bell.version == "1.2.3"
            assert stat.S_IMODE((home / NAME).stat().st_mode) == 0o600
    finally:
        os.umask(before)
    assert os.listdir(home) == []


@pytest.mark.requirement("fault-42")
@pytest.mark.parametrize(
    "sent",
    [
        b"x" * 5000,
        b"GET / HTTP/1.1\r\n",
        b"ring\nwatch\n",
        b"watch \n",
        b"watch " + b"a" * 300 + b"\n",
        b"watch \xff\n",
    ],
)
def test_who_says_what_nobody_of_ours_says_is_hung_up_on(tmp_path: Path, sent: bytes) -> None:
    with served(tmp_path) as one, Bell.connect(tmp_path) as bell:
        with raw(tmp_path) as strange:
            strange.sendall(sent)
            with contextlib.suppress(ConnectionResetError):  # where it had not read all of it
                assert strange.recv(100) == b""
        eventually(lambda: one.doorbell.callers == 1, "it is gone")
        bell.watch(["a"])
        assert bell.wait(20)


@pytest.mark.requirement("fault-42")
def test_whatever_is_said_the_others_are_served(tmp_path: Path) -> None:
    words = st.sampled_from([b"ring\n", b"watch a\n", b"watch *\n", b"\n", b"watch", b" ", b"\0", b"leave\n", b"r"])

    @settings(max_examples=100, deadline=None)
    @given(st.lists(words | st.binary(max_size=300), max_size=10))
    def say(pieces: list[bytes]) -> None:
        with raw(tmp_path) as strange, contextlib.suppress(ConnectionError):
            for piece in pieces:
                strange.sendall(piece)
        bell.watch(["b"])
        assert bell.wait(20)

    with served(tmp_path) as one:
        with Bell.connect(tmp_path) as bell:
            say()
        eventually(lambda: one.doorbell.callers == 0, "all are gone")
        assert one.doorbell._watchers == {}


def test_a_line_may_come_in_pieces(tmp_path: Path) -> None:
    with served(tmp_path) as one, raw(tmp_path) as slow:
        for byte in b"ring\nleave\n":
            slow.sendall(bytes([byte]))
        assert one.rings.acquire(timeout=20)
        assert one.leaves.acquire(timeout=20)


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_descriptors")
def test_a_thousand_watchers_and_one_that_never_reads(tmp_path: Path) -> None:
    with served(tmp_path) as one:
        bells = [Bell.connect(tmp_path) for _ in range(1000)]
        try:
            for bell in bells:
                bell.watch(["a"])
            for bell in bells[1:]:
                assert bell.wait(20)
            deaf = bells.pop(0)
            for _ in range(1000):
                one.tell("a")
            for bell in bells:
                assert bell.wait(20)
            # It costs nothing: little is kept for it, and it is told enough when it reads.
            waiting = deaf._socket.recv(1 << 20, socket.MSG_DONTWAIT)
            assert 0 < len(waiting) < 100
            assert set(waiting) == {ord(".")}
            one.tell("a")
            assert deaf.wait(20)
            deaf.close()
        finally:
            for bell in bells:
                bell.close()
        eventually(lambda: one.doorbell.callers == 0, "all are gone")
        assert one.doorbell._watchers == {}


def test_who_watches_too_much_is_told_of_everything(tmp_path: Path) -> None:
    with served(tmp_path) as one, Bell.connect(tmp_path) as bell:
        bell.watch(f"job{number}" for number in range(1500))
        eventually(lambda: list(one.doorbell._watchers) == [ALL], "it watches everything")
        assert bell.wait(20)
        one.tell("another")
        assert bell.wait(20)


def test_without_descriptors_others_wait_their_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.socket.accept
    tries = []

    def accept(self: socket.socket) -> Any:
        tries.append(1)
        if len(tries) == 1:
            raise OSError(errno.EMFILE, "Too many open files")
        return real(self)

    monkeypatch.setattr("raydp_wrap.supervisor.doorbell._PAUSE", 0.05)
    with served(tmp_path):
        monkeypatch.setattr(socket.socket, "accept", accept)
        with Bell.connect(tmp_path) as bell:
            bell.ring()
    assert 2 <= len(tries) < 10


def test_a_forked_child_s_copies_neither_hang_up_nor_stay_connected(tmp_path: Path) -> None:
    with served(tmp_path) as one:
        bells = [Bell.connect(tmp_path) for _ in range(2)]
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            bells[0].close()
            os.write(writer, b"closed")
            signal.pause()
        try:
            assert os.read(reader, 10) == b"closed"
            for bell in bells:
                bell.ring()
                assert one.rings.acquire(timeout=20)
                bell.close()
            eventually(lambda: one.doorbell.callers == 0, "both have hung up, though a child holds a copy")
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(reader)
            os.close(writer)
