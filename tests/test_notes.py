"""Small files in a run's directory: whole or not there, and nothing but files."""

from __future__ import annotations

import os
import socket
import stat
from typing import TYPE_CHECKING

import pytest
from programs.facts import nothing_left

from raydp_wrap import notes

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.requirement("watch-saved")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    with nothing_left():
        assert notes.read(tmp_path, "note", 100) is None
        assert notes.write(tmp_path, "note", b"one and more")
        assert notes.write(tmp_path, "note", b"two")
        assert notes.read(tmp_path, "note", 100) == b"two"
        assert notes.read(tmp_path, "note", 2) == b"tw"
    assert os.listdir(tmp_path) == ["note"]
    assert stat.S_IMODE((tmp_path / "note").stat().st_mode) == 0o600


def test_a_half_written_one_from_before_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / "note.tmp").write_bytes(b"much longer than what comes")
    assert notes.read(tmp_path, "note", 100) is None
    assert notes.write(tmp_path, "note", b"new")
    assert notes.read(tmp_path, "note", 100) == b"new"


@pytest.mark.parametrize("kind", ["directory", "link", "fifo", "socket"])
def test_what_is_no_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    path = tmp_path / "note"
    if kind == "directory":
        path.mkdir()
    elif kind == "link":
        (tmp_path / "file").write_bytes(b"another's")
        path.symlink_to(tmp_path / "file")
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        monkeypatch.chdir(tmp_path)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("note")
    with nothing_left():
        assert notes.read(tmp_path, "note", 100) is None


@pytest.mark.parametrize("kind", ["gone", "link", "file", "taken", "linked"])
def test_where_nothing_can_be_written_nothing_is_harmed(tmp_path: Path, kind: str) -> None:
    folder, other = tmp_path / "run", tmp_path / "other"
    other.mkdir()
    if kind == "link":
        folder.symlink_to(other)
    elif kind == "file":
        folder.write_bytes(b"")
    elif kind != "gone":
        folder.mkdir()
    if kind == "taken":
        (folder / "note").mkdir()
    elif kind == "linked":
        (folder / "note.tmp").symlink_to(other / "theirs")
    with nothing_left():
        assert not notes.write(folder, "note", b"new")
    assert os.listdir(other) == []


@pytest.mark.parametrize("call", ["fsync", "rename", "open"])
def test_a_disk_that_fails_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    assert notes.write(tmp_path, "note", b"old")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, nothing_left():
        patch.setattr(os, call, full)
        assert not notes.write(tmp_path, "note", b"new")
    assert notes.read(tmp_path, "note", 100) == b"old"
