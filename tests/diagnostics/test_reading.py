"""The end of an output, whatever the descriptor is."""

from __future__ import annotations

import os
import socket
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from raydp_wrap.diagnostics import tail
from raydp_wrap.diagnostics.reading import LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def output(tmp_path: Path) -> Iterator[int]:
    """A file for writing only, as a shell's ``2> file`` opens it."""
    fd = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT, 0o600)
    yield fd
    os.close(fd)


def test_the_last_bytes(output: int) -> None:
    os.write(output, b"0123456789")
    assert tail(output) == b"0123456789"
    assert tail(output, limit=3) == b"789"
    assert tail(output, start=8) == b"89"
    assert tail(output, start=2, limit=4) == b"6789"
    assert tail(output, limit=0) == b""
    assert tail(output, start=-5) == b"0123456789"


def test_what_was_there_before_is_not_the_driver_s(output: int) -> None:
    os.write(output, b"an earlier run\n")
    start = os.lseek(output, 0, os.SEEK_CUR)
    assert tail(output, start) == b""
    os.write(output, b"this run\n")
    assert tail(output, start) == b"this run\n"
    os.ftruncate(output, 3)
    assert tail(output, start) == b""


def test_the_shared_offset_stays(output: int) -> None:
    os.write(output, b"0123456789")
    os.lseek(output, 4, os.SEEK_SET)
    assert tail(output) == b"0123456789"
    assert os.lseek(output, 0, os.SEEK_CUR) == 4


def test_a_file_that_was_deleted(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w+b", buffering=0) as file:
        file.write(b"still here")
        (tmp_path / "out").unlink()
        assert tail(file.fileno()) == b"still here"


@pytest.mark.requirement("fault-39")
def test_a_gigabyte_takes_no_more_than_its_end(output: int) -> None:
    os.ftruncate(output, 1 << 30)
    os.pwrite(output, b"the end", (1 << 30) - 7)
    tracemalloc.start()
    try:
        end = tail(output)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(end) == LIMIT
    assert end.endswith(b"\x00the end")
    assert peak < 3 * LIMIT


def test_nothing_comes_of_anything_else(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    os.write(write_end, b"piped")
    os.mkfifo(tmp_path / "fifo")
    fifo = os.open(tmp_path / "fifo", os.O_RDWR)
    directory = os.open(tmp_path, os.O_RDONLY)
    null = os.open(os.devnull, os.O_RDWR)
    master, slave = os.openpty()
    one, other = socket.socketpair()
    other.send(b"sent")
    fds = [read_end, write_end, fifo, directory, null, master, slave]
    with one, other:
        assert {fd: tail(fd) for fd in [*fds, one.fileno()]} == dict.fromkeys([*fds, one.fileno()], b"")
        assert one.recv(9, socket.MSG_DONTWAIT) == b"sent"
    assert os.read(read_end, 9) == b"piped"
    for fd in fds:
        os.close(fd)
    assert tail(read_end) == b""
    assert tail(-1) == b""


def test_what_is_not_a_file_is_not_even_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    read_end, write_end = os.pipe()
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", lambda *_: pytest.fail("opened"))
        assert tail(read_end) == b""
    os.close(read_end)
    os.close(write_end)


def test_a_file_that_may_not_be_read(output: int, monkeypatch: pytest.MonkeyPatch) -> None:
    os.write(output, b"text")

    def refuse(*_: object) -> int:
        raise PermissionError

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        assert tail(output) == b""
    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", refuse)
        assert tail(output) == b""


def test_no_descriptor_is_left_open(output: int) -> None:
    before = os.listdir("/proc/self/fd")
    tail(output)
    assert os.listdir("/proc/self/fd") == before
