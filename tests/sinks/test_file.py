"""The report file: whole or untouched."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import stat
from typing import TYPE_CHECKING

import pytest
from sinks.told import HOSTILE, outcome, report

from raydp_wrap.backend import Answer, Verdict
from raydp_wrap.errors import UsageError
from raydp_wrap.outcome import to_dict
from raydp_wrap.sinks import canonical, parse
from raydp_wrap.sinks.file import File, _temporary

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.requirement("run-3.3", "sink-4.1")

ACCEPTED = Answer(Verdict.ACCEPTED)
DUPLICATE = Answer(Verdict.DUPLICATE)


def checked(path: Path) -> File:
    sink = File(os.fspath(path))
    sink.check()
    return sink


def test_it_holds_the_outcome_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    sink = checked(tmp_path / "r")
    assert os.listdir(tmp_path) == []
    assert sink.deliver(report(name="n\u00e4me \udcff")) == ACCEPTED
    assert json.loads((tmp_path / "r").read_bytes()) == to_dict(outcome(name="n\u00e4me \udcff"))
    assert os.listdir(tmp_path) == ["r"]
    assert stat.S_IMODE((tmp_path / "r").stat().st_mode) & 0o600 == 0o600


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666, 0o400])
def test_the_old_one_s_permissions_are_kept(tmp_path: Path, mode: int) -> None:
    (tmp_path / "r").write_text("old")
    (tmp_path / "r").chmod(mode)
    assert checked(tmp_path / "r").deliver(report()) == ACCEPTED
    assert stat.S_IMODE((tmp_path / "r").stat().st_mode) == mode


def test_a_new_one_s_permissions_are_the_umask_s_and_no_link_s(tmp_path: Path) -> None:
    (tmp_path / "script").write_text("#!")
    (tmp_path / "script").chmod(0o4777)
    (tmp_path / "link").symlink_to("script")
    before = os.umask(0o027)
    try:
        for name in ("r", "link"):
            assert checked(tmp_path / name).deliver(report()) == ACCEPTED
            assert stat.S_IMODE((tmp_path / name).lstat().st_mode) == 0o640
    finally:
        os.umask(before)


@pytest.mark.requirement("fault-38")
def test_hostile_names_are_valid_json_in_utf8(tmp_path: Path) -> None:
    assert checked(tmp_path / "r").deliver(report(name=HOSTILE, diagnostics=HOSTILE)) == ACCEPTED
    data = (tmp_path / "r").read_bytes()
    assert json.loads(data.decode("utf-8"))["name"] == HOSTILE
    assert not any(byte < 32 and byte != 10 for byte in data)


@pytest.mark.parametrize("call", ["fsync", "rename", "open", "write"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_a_failure_leaves_the_old_one_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    (tmp_path / "r").write_text("old")
    sink = checked(tmp_path / "r")

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(f"raydp_wrap.sinks.file.os.{call}", fail)
        assert sink.deliver(report()) == Answer(Verdict.RETRY_AFTER, os.strerror(number))
    assert (tmp_path / "r").read_text() == "old"
    assert os.listdir(tmp_path) == ["r"]
    assert sink.deliver(report(tries=2)) == ACCEPTED
    assert sink.deliver(report(tries=3)) == DUPLICATE


def test_short_writes_are_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr("raydp_wrap.sinks.file.os.write", lambda fd, data: real(fd, data[:7]))
    assert checked(tmp_path / "r").deliver(report()) == ACCEPTED
    assert json.loads((tmp_path / "r").read_bytes()) == to_dict(outcome())


@pytest.mark.requirement("fault-40")
def test_it_is_refused_before_anything_is_started(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "to-fifo").symlink_to("fifo")
    (tmp_path / "stream").symlink_to("/proc/self/fd/0")
    with open(tmp_path / "file", "wb") as file:
        (tmp_path / "to-file").symlink_to(f"/proc/self/fd/{file.fileno()}")
        for name in (
            ".",
            "fifo",
            "to-fifo",
            "stream",
            "to-file",
            "missing/r",
            "fifo/r",
            "nul\0",
            "\ud800",
            "x" * 256,
            "/dev/null",
        ):
            with pytest.raises(UsageError, match="report"):
                File(os.path.join(tmp_path, name)).check()
    with pytest.raises(UsageError, match="report"):
        File("")
    assert sorted(os.listdir(tmp_path)) == ["fifo", "file", "stream", "to-fifo", "to-file"]


def test_a_directory_that_is_closed_is_seen_at_once(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        if os.geteuid() == 0:
            as_other_user(lambda: refused(tmp_path / "r"))
        else:
            assert refused(tmp_path / "r")
    finally:
        tmp_path.chmod(0o700)


def test_a_strangers_file_in_a_sticky_directory_is_seen_at_once(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs two users")
    (tmp_path / "r").write_text("theirs")
    (tmp_path / "r").chmod(0o666)
    for directory in (tmp_path, *tmp_path.parents[:2]):
        directory.chmod(0o1777 if directory == tmp_path else 0o755)
    as_other_user(lambda: refused(tmp_path / "r"))
    as_other_user(lambda: not refused(tmp_path / "new"))


def refused(path: Path) -> bool:
    try:
        checked(path)
    except UsageError as error:
        return "report" in str(error)
    return False


def as_other_user(holds: object) -> None:
    pid = os.fork()
    if not pid:
        try:
            os.setresuid(65534, 65534, 65534)
            os._exit(0 if holds() else 1)  # type: ignore[operator]
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.requirement("fault-40")
def test_what_is_planted_after_the_check_is_replaced_and_its_target_untouched(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    for name in ("r", _temporary("s-1/0")):
        for plant in (
            os.mkfifo,
            lambda path: path.symlink_to("mine"),
            lambda path: path.hardlink_to(tmp_path / "mine"),
        ):
            sink = checked(tmp_path / "r")
            plant(tmp_path / name)
            assert sink.deliver(report()) == ACCEPTED
            assert json.loads((tmp_path / "r").read_bytes()) == to_dict(outcome())
            assert stat.S_ISREG((tmp_path / "r").lstat().st_mode)
            assert (tmp_path / "mine").read_text() == "mine"
            assert sorted(os.listdir(tmp_path)) == ["mine", "r"]
            (tmp_path / "r").unlink()


@pytest.mark.requirement("fault-40")
def test_what_is_planted_at_the_last_moment_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").write_text("mine")
    sink = checked(tmp_path / "r")

    def plant(*_: object, **__: object) -> None:
        (tmp_path / _temporary("s-1/0")).symlink_to("mine")
        raise FileNotFoundError

    with monkeypatch.context() as patch:
        patch.setattr("raydp_wrap.sinks.file.os.unlink", plant)
        assert sink.deliver(report()).verdict is Verdict.RETRY_AFTER
    assert (tmp_path / "mine").read_text() == "mine"
    assert sink.deliver(report()) == ACCEPTED


@pytest.mark.requirement("fault-40")
def test_a_directory_in_its_place_is_tried_again_and_left(tmp_path: Path) -> None:
    sink = checked(tmp_path / "r")
    (tmp_path / "r").mkdir()
    (tmp_path / "r/x").touch()
    assert sink.deliver(report()).verdict is Verdict.RETRY_AFTER
    assert os.listdir(tmp_path) == ["r"]
    assert os.listdir(tmp_path / "r") == ["x"]


def test_a_link_to_a_file_is_replaced_and_one_to_nowhere_too(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "r").symlink_to("mine")
    assert checked(tmp_path / "r").deliver(report()) == ACCEPTED
    assert (tmp_path / "mine").read_text() == "mine"
    (tmp_path / "n").symlink_to("nowhere/x")
    assert checked(tmp_path / "n").deliver(report()) == ACCEPTED
    assert not (tmp_path / "n").is_symlink()


def test_a_directory_that_is_missing_later_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    sink = checked(tmp_path / "d/r")
    (tmp_path / "d").rmdir()
    assert sink.deliver(report()) == Answer(Verdict.RETRY_AFTER, os.strerror(errno.ENOENT))
    (tmp_path / "d").mkdir()
    assert sink.deliver(report()) == ACCEPTED


def test_it_knows_its_own(tmp_path: Path) -> None:
    path = tmp_path / "r"
    other = json.dumps({"submission_id": "t"})
    for text in ("", "null", "[1]", "{", other, "\udcff", "[" * 100_000, "\0" * 10):
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        assert checked(path).deliver(report()) == ACCEPTED
    path.write_text(json.dumps({"submission_id": "s-1", "state": "FINISHED"}))
    before = path.read_bytes(), path.stat().st_ino
    assert checked(path).deliver(report(tries=2)) == DUPLICATE
    assert (path.read_bytes(), path.stat().st_ino) == before


def test_a_duplicate_is_on_the_disk_before_it_is_called_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = checked(tmp_path / "r")
    sink.deliver(report())
    real, synced = os.fsync, []

    def fsync(fd: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{fd}"))
        real(fd)

    monkeypatch.setattr("raydp_wrap.sinks.file.os.fsync", fsync)
    assert sink.deliver(report(tries=2)) == DUPLICATE
    assert synced == [str(tmp_path / "r"), str(tmp_path)]


def test_a_try_that_died_leaves_nothing_for_ever(tmp_path: Path) -> None:
    (tmp_path / _temporary("s-1/0")).write_text("half")
    assert checked(tmp_path / "r").deliver(report(tries=2)) == ACCEPTED
    assert os.listdir(tmp_path) == ["r"]


@pytest.mark.parametrize("failing", [None, "fsync"])
def test_a_mount_point_is_filled_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str | None
) -> None:
    """Whether a failed fsync is taken for a success by the next try, which finds the pages written."""
    path = tmp_path / "r"
    path.write_text("old " * 10_000)
    inode = path.stat().st_ino
    sink = checked(path)

    def busy(*_: object, **__: object) -> None:
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    monkeypatch.setattr("raydp_wrap.sinks.file.os.rename", busy)
    if failing:
        real = os.fsync

        def fsync(fd: int) -> None:
            if os.fstat(fd).st_ino == inode:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            real(fd)

        with monkeypatch.context() as patch:
            patch.setattr("raydp_wrap.sinks.file.os.fsync", fsync)
            assert sink.deliver(report()) == Answer(Verdict.RETRY_AFTER, os.strerror(errno.EIO))
    assert sink.deliver(report()) == ACCEPTED
    assert path.stat().st_ino == inode
    assert json.loads(path.read_bytes()) == to_dict(outcome())
    assert os.listdir(tmp_path) == ["r"]


@pytest.mark.requirement("fault-40")
def test_a_real_mount_point(tmp_path: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    pid = os.fork()
    if not pid:
        try:
            # CLONE_NEWNS, then MS_REC | MS_PRIVATE: what is mounted here is gone with this process.
            if os.geteuid() or libc.unshare(0x20000) or libc.mount(None, b"/", None, 0x4000 | 0x40000, None):
                os._exit(77)
            (tmp_path / "source").write_text("old")
            (tmp_path / "r").touch()
            sink = checked(tmp_path / "r")
            if libc.mount(os.fsencode(tmp_path / "source"), os.fsencode(tmp_path / "r"), None, 0x1000, None):
                os._exit(77)
            assert sink.deliver(report()) == ACCEPTED
            assert sink.deliver(report()) == DUPLICATE
            assert json.loads((tmp_path / "source").read_bytes()) == to_dict(outcome())
            (tmp_path / "q").touch()
            os.mkfifo(tmp_path / "fifo")
            sink = checked(tmp_path / "q")
            libc.mount(os.fsencode(tmp_path / "fifo"), os.fsencode(tmp_path / "q"), None, 0x1000, None)
            assert sink.deliver(report()).verdict is Verdict.RETRY_AFTER
            os._exit(0)
        finally:
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code == 77:
        pytest.skip("nothing can be mounted here")
    assert code == 0


@pytest.mark.requirement("sink-4.4")
def test_its_path_is_kept_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    named = parse("file:a b,c", {})
    named.sink.check()
    monkeypatch.chdir("/")
    assert canonical(*named) == f"file:{tmp_path}/a b,c"
    assert parse(canonical(*named), {}).sink.deliver(report()) == ACCEPTED
    assert os.listdir(tmp_path) == ["a b,c"]
