"""Output, read from files: what is kept, where lines and times lie, and what follows."""

from __future__ import annotations

import ctypes
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from programs.facts import environment, open_fds

from raydp_wrap.errors import RaydpWrapError, UsageError
from raydp_wrap.local import Output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from raydp_wrap.local.output import Chunk

BLOCK = 65536
DEADLINE = 30.0
PUNCH_HOLE_KEEP_SIZE = 3
EVERY_BYTE = bytes(range(256))


class Attempt:
    """What an attempt leaves in its directory, made by hand."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(exist_ok=True)
        self.write(b"")

    def write(self, data: bytes, stream: str = "output") -> None:
        with open(self.path / stream, "ab") as file:
            file.write(data)

    def drop(self, size: int, stream: str = "output") -> None:
        with open(self.path / stream, "ab") as file:
            libc = ctypes.CDLL(None, use_errno=True)
            ends = ctypes.c_int64(0), ctypes.c_int64(size)
            if libc.fallocate(file.fileno(), PUNCH_HOLE_KEEP_SIZE, *ends):
                pytest.skip("no holes can be made in files here")

    def index(self, *entries: tuple[float, int, int]) -> None:
        data = b"".join(struct.pack("=qqq", int(at * 1e9), *sizes) for at, *sizes in entries)
        (self.path / "times").write_bytes(data)

    def end(self) -> None:
        (self.path / "record.tmp0").write_bytes(b"{}")
        (self.path / "record.tmp0").rename(self.path / "record")


@pytest.fixture
def attempt(tmp_path: Path) -> Attempt:
    return Attempt(tmp_path / "s.1")


@pytest.fixture
def output(attempt: Attempt) -> Iterator[Output]:
    before = open_fds()
    with Output(attempt.path) as made:
        yield made
    assert open_fds() == before


class Follower:
    """Somebody who follows in a thread; what came is handed over chunk by chunk, None at its end."""

    def __init__(self, follow: Callable[[], Iterator[Chunk]]) -> None:
        self.queue: SimpleQueue[Chunk | BaseException | None] = SimpleQueue()
        self.thread = threading.Thread(target=self._run, args=(follow,), daemon=True)
        self.thread.start()

    def _run(self, follow: Callable[[], Iterator[Chunk]]) -> None:
        try:
            for chunk in follow():
                self.queue.put(chunk)
        except BaseException as error:  # noqa: BLE001 - told in the test's thread
            self.queue.put(error)
        self.queue.put(None)

    def next(self) -> Chunk | None:
        came = self.queue.get(timeout=DEADLINE)
        if isinstance(came, BaseException):
            raise came
        return came

    def rest(self) -> bytes:
        found = b""
        while (chunk := self.next()) is not None:
            found += chunk
        self.thread.join(DEADLINE)
        return found


@pytest.mark.requirement("jobs-3.1", "jobs-3.2")
def test_bytes_are_what_they_are_wherever_one_begins(attempt: Attempt, output: Output) -> None:
    attempt.write(EVERY_BYTE)
    assert output.streams() == ("output",)
    assert (output.start(), output.size()) == (0, 256)
    for offset in (0, 1, 100, 255):
        assert output.read(offset) == EVERY_BYTE[offset:]
        assert output.read(offset, 1) == EVERY_BYTE[offset : offset + 1]
    assert output.read(256) == output.read(1000) == b""
    attempt.write(b"more")
    assert output.read(256) == b"more"


@pytest.mark.requirement("jobs-3.1")
def test_streams_are_apart_where_they_were_asked_for_apart(attempt: Attempt, output: Output) -> None:
    assert (output.start("errors"), output.size("errors"), output.read(0, 9, "errors")) == (0, 0, b"")
    assert (output.tail(1, "errors"), output.since(0, "errors")) == (0, 0)
    attempt.write(b"worse\n", "errors")
    attempt.write(b"good\n")
    assert output.streams() == ("output", "errors")
    assert output.read(0, 9, "errors") == b"worse\n"
    assert output.read(0, 9) == b"good\n"
    with pytest.raises(UsageError, match="stdout"):
        output.size("stdout")


@pytest.mark.requirement("jobs-3.1")
def test_a_link_is_no_stream(attempt: Attempt, output: Output) -> None:
    (attempt.path / "errors").symlink_to("/etc/passwd")
    assert output.streams() == ("output",)


def test_what_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    for path in (tmp_path / "none", Path("/etc/passwd")):
        with pytest.raises(UsageError, match="not been started, or was deleted"):
            Output(path)


@pytest.mark.requirement("jobs-3.3")
def test_what_was_dropped_is_passed_over_and_offsets_stay(attempt: Attempt, output: Output) -> None:
    data = os.urandom(3 * BLOCK)
    attempt.write(data)
    attempt.drop(BLOCK)
    assert (output.start(), output.size()) == (BLOCK, 3 * BLOCK)
    for asked, lies_at in ((0, BLOCK), (BLOCK - 1, BLOCK), (BLOCK, BLOCK), (BLOCK + 1, BLOCK + 1)):
        chunk = output.read(asked, 100)
        assert chunk == data[lies_at:][: len(chunk)]
        assert chunk.offset == lies_at
        assert chunk
    assert output.tail(1) >= BLOCK
    attempt.drop(3 * BLOCK)
    assert output.start() == 3 * BLOCK
    assert output.read(0) == b""


@pytest.mark.requirement("jobs-3.3")
def test_what_is_dropped_while_it_is_read_is_never_zeros(
    attempt: Attempt, output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = b"x" * (2 * BLOCK) + b"y"
    attempt.write(data)
    read = os.pread

    def drops_first(*arguments: int) -> bytes:
        attempt.drop(BLOCK)
        return read(*arguments)

    monkeypatch.setattr(os, "pread", drops_first)
    chunk = output.read(0, 2 * BLOCK)
    assert chunk == b"x" * BLOCK
    assert chunk.offset == BLOCK


@pytest.mark.requirement("jobs-3.3")
def test_what_comes_while_an_empty_one_is_looked_at_is_not_passed_over(
    attempt: Attempt, output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    seek = os.lseek

    def written_meanwhile(*arguments: int) -> int:
        try:
            return seek(*arguments)
        finally:
            attempt.write(b"first")

    monkeypatch.setattr(os, "lseek", written_meanwhile)
    assert output.read(0) == b""
    assert output.read(0)[:5] == b"first"


LINES = st.lists(st.sampled_from([b"", b"a", b"\n", b"\xff\xfe", b"long" * 20000, b"x\n" * 40000]), max_size=6)


@pytest.mark.requirement("jobs-3.6", "jobs-3.5")
@settings(max_examples=60, deadline=None)
@given(pieces=LINES, lines=st.integers(-1, 5) | st.integers(30000, 130000), dropped=st.booleans())
def test_the_last_lines_are_those_that_a_split_finds(pieces: list[bytes], lines: int, *, dropped: bool) -> None:
    data = b"".join(pieces)
    with tempfile.TemporaryDirectory() as directory:
        attempt = Attempt(Path(directory) / "s.1")
        attempt.write(data)
        start = 0
        if dropped and len(data) > BLOCK:
            attempt.drop(BLOCK)
            start = BLOCK
        with Output(attempt.path) as output:
            expected = b"".join(_split(data[start:])[-lines:]) if lines > 0 else b""
            assert data[output.tail(lines) :] == expected


def _split(data: bytes) -> list[bytes]:
    found = [line + b"\n" for line in data.split(b"\n")]
    found[-1] = found[-1][:-1]
    return found if found[-1] else found[:-1]


@pytest.mark.requirement("jobs-3.6", "jobs-3.4")
def test_the_last_lines_are_looked_for_from_the_end(
    attempt: Attempt, output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt.write(b"line\n" * 200_000)
    reads = []
    read = os.pread
    monkeypatch.setattr(os, "pread", lambda *arguments: reads.append(arguments) or read(*arguments))
    assert output.tail(10) == output.size() - 50
    assert len(reads) == 1


@pytest.mark.requirement("jobs-3.6")
def test_a_time_is_found_in_the_index(attempt: Attempt, output: Output) -> None:
    attempt.write(b"0123456789")
    attempt.write(b"01234", "errors")
    assert output.since(0) == output.since(2e9) == 0, "without an index all may be later"
    attempt.index((100.0, 4, 0), (200.0, 7, 5), (300.0, 10, 5))
    found = {at: output.since(at) for at in (0, 99.9, 100.1, 199, 200.1, 299, 300.1, 1e6)}
    assert found == {0: 0, 99.9: 0, 100.1: 4, 199: 4, 200.1: 7, 299: 7, 300.1: 10, 1e6: 10}
    assert (output.since(150, "errors"), output.since(250, "errors")) == (0, 5)
    with open(attempt.path / "times", "ab") as file:
        file.write(b"torn")
    assert output.since(1e6) == 10


@pytest.mark.requirement("jobs-3.6", "fault-22")
@settings(max_examples=100, deadline=None)
@given(steps=st.lists(st.tuples(st.integers(-5, 9), st.integers(0, 3)), max_size=30), cuts=st.booleans())
def test_a_time_is_never_behind_the_first_byte_after_it(steps: list[tuple[int, int]], *, cuts: bool) -> None:
    """Whatever the clock does: each byte written when it was later than AT, and ever after, is behind the offset."""
    now, size = 1000, 0
    written: list[tuple[int, int]] = []  # when, at which offset
    entries: list[tuple[float, int, int]] = []
    for number, (step, grown) in enumerate(steps):
        now += step
        written += ((now, offset) for offset in range(size, size + grown))
        size += grown
        if cuts and number == 7:
            size = 0
            written = []
        entries.append((now + 0.5, size, 0))
    with tempfile.TemporaryDirectory() as directory:
        attempt = Attempt(Path(directory) / "s.1")
        attempt.write(b"x" * size)
        attempt.index(*entries)
        with Output(attempt.path) as output:
            for at in range(990, now + 5):
                later = [offset for when, offset in written if when > at]
                assert output.since(at) <= min(later, default=size)


@pytest.mark.requirement("jobs-3.2", "jobs-3.4")
def test_following_ends_behind_the_last_byte(attempt: Attempt, output: Output) -> None:
    attempt.write(b"one")
    follower = Follower(output.follow)
    assert follower.next() == b"one"
    attempt.write(b"two")
    assert follower.next() == b"two"
    (attempt.path / "times").touch()
    attempt.write(b"last")
    assert not output.ended
    attempt.end()
    assert follower.rest() == b"last"
    assert output.ended
    assert b"".join(output.follow(3)) == b"twolast"
    assert [chunk.offset for chunk in output.follow(3)] == [3]
    assert list(output.follow(1000)) == []


@pytest.mark.requirement("jobs-3.4")
def test_a_stream_may_come_later(attempt: Attempt, output: Output) -> None:
    follower = Follower(lambda: output.follow(0, "errors"))
    attempt.write(b"late", "errors")
    assert follower.next() == b"late"
    attempt.end()
    assert follower.rest() == b""


@pytest.mark.requirement("jobs-3.4")
def test_following_does_nothing_between_events(
    attempt: Attempt, output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []
    read = os.pread
    monkeypatch.setattr(os, "pread", lambda *arguments: reads.append(arguments) or read(*arguments))
    follower = Follower(output.follow)
    for number in range(20):
        attempt.write(b"%d" % (number % 10))
        assert follower.next() is not None
    attempt.end()
    follower.rest()
    assert len(reads) <= 2 * 20 + 10


@pytest.mark.requirement("jobs-3.4")
def test_who_knows_of_the_end_wakes_it(attempt: Attempt, output: Output) -> None:
    """The guard was killed: no record will come."""
    over = threading.Event()
    read_end, write_end = os.pipe()

    def ended() -> bool:
        return over.is_set() and bool(os.read(read_end, 10))

    try:
        follower = Follower(lambda: output.follow(wake=read_end, ended=ended))
        attempt.write(b"one")
        assert follower.next() == b"one"
        over.set()
        os.write(write_end, b"!")
        assert follower.rest() == b""
    finally:
        os.close(read_end)
        os.close(write_end)


@pytest.mark.requirement("jobs-3.4")
def test_a_waker_that_is_gone_makes_nobody_busy(attempt: Attempt, output: Output) -> None:
    read_end, write_end = os.pipe()
    asked = []
    follower = Follower(lambda: output.follow(wake=read_end, ended=lambda: asked.append(1) is not None))
    os.close(write_end)
    for _ in range(5):
        attempt.write(b"x")
        assert follower.next() == b"x"
    attempt.end()
    follower.rest()
    os.close(read_end)
    assert len(asked) < 20


@pytest.mark.requirement("jobs-3.4")
@pytest.mark.parametrize("stream", ["output", "errors"])
def test_what_is_deleted_has_ended(attempt: Attempt, output: Output, stream: str) -> None:
    attempt.write(b"one", stream)
    follower = Follower(lambda: output.follow(0, stream))
    assert follower.next() == b"one"
    shutil.rmtree(attempt.path)
    assert follower.rest() == b""
    assert output.ended


@pytest.mark.requirement("jobs-3.3", "jobs-3.4")
def test_a_follower_that_was_overtaken_sees_where_it_goes_on(attempt: Attempt, output: Output) -> None:
    data = os.urandom(4 * BLOCK)
    attempt.write(data)
    chunks = output.follow()
    first = next(chunks)
    assert (first.offset, first) == (0, data[:BLOCK])
    attempt.drop(2 * BLOCK)
    second = next(chunks)
    assert (second.offset, second) == (2 * BLOCK, data[2 * BLOCK : 3 * BLOCK])
    attempt.end()
    assert [chunk.offset for chunk in chunks] == [3 * BLOCK]


@pytest.mark.requirement("jobs-3.5")
def test_what_is_no_text_is_no_error(attempt: Attempt, output: Output) -> None:
    data = b"\xff\xc3\x28\0" * BLOCK
    attempt.write(data)
    attempt.end()
    assert output.tail(1) == 0
    assert b"".join(output.follow()) == data


def test_a_user_without_watches_is_told(attempt: Attempt, output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def inotify_init1(self, _: int) -> int:
            return -1

    monkeypatch.setattr("raydp_wrap.local.inotify._libc", Full)
    with pytest.raises(RaydpWrapError, match="can't be followed"):
        next(output.follow())
    attempt.write(b"all the same")
    assert output.read(0) == b"all the same"


FOLLOWS = """
import hashlib, resource, sys
from raydp_wrap.local import Output

with Output(sys.argv[1]) as output:
    next(output.follow())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    size, digest = 0, hashlib.blake2b()
    for chunk in output.follow():
        assert len(chunk) <= 65536
        size += len(chunk)
        if size % (1 << 20) == 0:
            digest.update(chunk)  # a reader that takes its time
    assert size > 1 << 28 or output.tail(1) == 0, "one line"
    print(size, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.requirement("jobs-3.4", "jobs-3.5")
@pytest.mark.parametrize("size", [1 << 30, 200 << 20], ids=["1 GB with holes", "200 MB written"])
def test_a_large_one_is_read_in_little_memory(attempt: Attempt, size: int) -> None:
    """In kB, of the whole process, and one line at that."""
    if size == 1 << 30:
        attempt.write(b"x")
        os.truncate(attempt.path / "output", size)
    else:
        for _ in range(200):
            attempt.write(b"x" * (1 << 20))
    attempt.end()
    words = [sys.executable, "-c", FOLLOWS, str(attempt.path)]
    said = subprocess.run(words, check=True, stdout=subprocess.PIPE, env=environment(), timeout=100).stdout
    followed, grown = map(int, said.split())
    print(f"{grown} kB more for {followed} bytes")
    assert followed == size
    assert grown < 8 * 1024


@pytest.mark.requirement("jobs-3.4")
def test_to_read_needs_no_event_loop_and_no_guard() -> None:
    """Each would cost a command that prints a log more than the printing."""
    program = "import sys; from raydp_wrap.local import Output; print(*sys.modules)"
    said = subprocess.run(
        [sys.executable, "-c", program], check=True, stdout=subprocess.PIPE, env=environment(), encoding="ascii"
    ).stdout
    assert {"asyncio", "ctypes", "raydp_wrap._native"} & {*said.split()} == set()
