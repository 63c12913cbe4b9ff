"""The exit record: durable or told, whole or refused, and the same from the wire and from the file."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from crash.harness import need, need_root, need_strace, strays
from crash.traced import tampered_guard, traced_guard
from crash.traced import whole as whole_log
from hypothesis import given, settings
from hypothesis import strategies as st

from raydp_wrap.errors import RecordError
from raydp_wrap.model import Cause, Exit, Launch, Rung
from raydp_wrap.process import Guard
from raydp_wrap.process import record as records

if TYPE_CHECKING:
    from collections.abc import Iterator

    from raydp_wrap.model import ExitRecord

pytestmark = pytest.mark.usefixtures("strays")
__all__ = ["strays"]


def ended(path: Path | None, *argv: str, **options: object) -> ExitRecord:
    with Guard.start(Launch(argv=argv or ("/bin/true",)), record=path, **options) as guard:  # type: ignore[arg-type]
        return guard.wait(30)


@pytest.mark.requirement("guard-2.5")
@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("exit 0", Exit(0)),
        ("exit 3", Exit(3)),
        ("exit 255", Exit(255)),
        ("kill -KILL $$", Exit(None, 9)),
        ("kill -SEGV $$", Exit(None, 11)),
    ],
)
def test_the_file_says_what_the_guard_said(tmp_path: Path, script: str, expected: Exit) -> None:
    path = tmp_path / "record"
    told = ended(path, "/bin/sh", "-c", f"ulimit -c 0; {script}", identity="attempt-1")
    assert told.driver is not None
    assert replace(told.driver, usage=expected.usage) == expected
    assert records.read(path) == told
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["record"]
    assert told.identity == "attempt-1"
    assert told.started_at <= told.ended_at
    assert told.driver.usage.max_rss > 0
    assert told.tree_usage.max_rss >= told.driver.usage.max_rss


@pytest.mark.requirement("guard-2.5")
def test_core_flag(tmp_path: Path) -> None:
    pattern = Path("/proc/sys/kernel/core_pattern").read_text()
    need(not pattern.startswith(("|", "/")), "cores do not go to the working directory here")
    script = "ulimit -c unlimited; kill -QUIT $$"
    with Guard.start(Launch(argv=("/bin/sh", "-c", script), cwd=str(tmp_path)), record=tmp_path / "record") as guard:
        record = guard.wait(30)
    assert record.driver is not None
    assert record.driver.signal == 3
    need(record.driver.core_dumped, "no core can be dumped here")
    found = records.read(tmp_path / "record")
    assert found is not None
    assert found.driver is not None
    assert found.driver.core_dumped


@pytest.mark.requirement("guard-2.5")
def test_who_asked_and_how_it_ended_stand_in_both(tmp_path: Path) -> None:
    path = tmp_path / "record"
    with Guard.start(Launch(argv=("/bin/sleep", "60")), record=path) as guard:
        guard.stop(label='operator "x"\\\n', grace=5)
        told = guard.wait(30)
    found = records.read(path)
    assert found is not None
    assert told.stop is not None
    assert (told.stop.signal, told.stop.pid, told.stop.uid) == (15, os.getpid(), os.getuid())
    assert told.started_at <= told.stop.at <= told.ended_at
    assert told.driver is not None
    assert told.driver.rung is Rung.SIGNAL
    assert found.stop is not None
    assert found.stop.label == "operator ?x???"  # plain ASCII in the file, nothing to escape
    assert replace(found, stop=None) == replace(told, stop=None)
    assert replace(found.stop, label="") == replace(told.stop, label="")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("whole") / "record"
    ended(path)
    return path.read_bytes()


def refused_or_equal(data: bytes, whole: bytes) -> None:
    try:
        found = records.parse(data)
    except RecordError:
        return
    assert json.loads(data) is not None
    assert isinstance(found.cause, Cause)
    if len(data) < len(whole.rstrip()):
        assert json.loads(data).keys() >= json.loads(whole).keys()


def test_every_truncation_is_refused(whole: bytes) -> None:
    for size in range(len(whole.rstrip())):
        with pytest.raises(RecordError):
            records.parse(whole[:size])
    assert records.parse(whole).driver is not None


@settings(max_examples=300, deadline=None)
@given(garbage=st.binary(max_size=400))
def test_garbage_is_refused(garbage: bytes) -> None:
    with pytest.raises(RecordError):
        records.parse(garbage)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=500, deadline=None)
@given(data=st.data())
def test_a_wrong_member_is_refused_or_meant(whole: bytes, data: st.DataObject) -> None:
    raw = json.loads(whole)
    name = data.draw(st.sampled_from(sorted(raw)))
    value = data.draw(JSON | st.just(10**400) | st.just(2**63))
    raw[name] = value
    try:
        found = records.parse(json.dumps(raw).encode())
    except RecordError:
        return
    original = json.loads(whole)[name]
    assert type(value) is type(original), f"{name}={value!r} was taken for {original!r}"
    assert found.driver is None or isinstance(found.driver.returncode, int)


@settings(max_examples=200, deadline=None)
@given(at=st.integers(0, 2000), byte=st.integers(0, 255))
def test_a_flipped_byte_never_raises_anything_else(whole: bytes, at: int, byte: int) -> None:
    at %= len(whole)
    refused_or_equal(whole[:at] + bytes([byte]) + whole[at + 1 :], whole)


@pytest.mark.parametrize("data", [b"[" * 60000, b"1" * 5000, b"NaN", b'{"schema":1}', b"null", b"\xff\xfe", b""])
def test_odd_files_are_refused(data: bytes) -> None:
    with pytest.raises(RecordError):
        records.parse(data)


LATER = {"passed_on"}  # members that earlier records of this version lack


def test_a_missing_member_is_refused(whole: bytes) -> None:
    for name in json.loads(whole).keys() - LATER:
        raw = json.loads(whole)
        del raw[name]
        with pytest.raises(RecordError):
            records.parse(json.dumps(raw).encode())


@pytest.mark.requirement("guard-2.8")
def test_a_record_from_before_signals_were_kept_is_read(whole: bytes) -> None:
    raw = json.loads(whole)
    assert raw.pop("passed_on") == []
    assert records.parse(json.dumps(raw).encode()) == records.parse(whole)


@pytest.mark.parametrize("value", [[0], [65], ["1"], [True], [1.0], [[1]], {}, 1, None])
def test_what_is_no_list_of_signals_is_refused(whole: bytes, value: object) -> None:
    raw = json.loads(whole)
    raw["passed_on"] = value
    with pytest.raises(RecordError):
        records.parse(json.dumps(raw).encode())


def test_a_newer_record_is_refused_and_kept(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "record"
    newer = whole.replace(b'{"schema":1', b'{"schema":2')
    path.write_bytes(newer)
    with pytest.raises(RecordError, match="newer raydp-wrap"):
        records.read(path)
    assert path.read_bytes() == newer


def test_what_is_no_file_is_refused_and_kept(tmp_path: Path, whole: bytes) -> None:
    target, link, fifo, folder, large = (tmp_path / n for n in ("target", "link", "fifo", "folder", "large"))
    target.write_bytes(whole)
    link.symlink_to(target)
    os.mkfifo(fifo)
    folder.mkdir()
    large.write_bytes(whole + b" " * records.MAX_SIZE)
    before = len(os.listdir("/proc/self/fd"))
    for path in (link, fifo, folder, large):
        with pytest.raises(RecordError):
            records.read(path)
        assert os.path.lexists(path)
    assert len(os.listdir("/proc/self/fd")) == before
    assert records.read(tmp_path / "nothing") is None
    assert records.read(target) is not None


def test_what_lies_in_the_records_place_is_replaced_not_followed(tmp_path: Path) -> None:
    for number, lay in enumerate(("symlink", "hard link", "old")):
        folder = tmp_path / str(number)
        folder.mkdir()
        target = tmp_path / f"target-{number}"
        target.write_text("untouched")
        path = folder / "record"
        for name in ("record", "record.tmp0", "record.tmp1"):
            if lay == "symlink":
                (folder / name).symlink_to(target)
            elif lay == "hard link":
                os.link(target, folder / name)
            else:
                (folder / name).write_text("old")
        told = ended(path)
        assert told.not_durable == 0
        assert records.read(path) == told
        assert target.read_text() == "untouched"


# ---- what can go wrong while it is written ---------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    need_root()
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "none", str(folder)], check=False)
    need(mounted.returncode == 0, "a tmpfs can't be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> None:
    with contextlib.suppress(OSError), (folder / "ballast").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    assert os.statvfs(folder).f_bfree == 0


@pytest.mark.requirement("fault-15", "guard-2.5")
def test_full_disk_is_told_and_the_outcome_survives(small_disk: Path) -> None:
    fill(small_disk)
    record = ended(small_disk / "record", "/bin/sh", "-c", "exit 7")
    assert record.driver is not None
    assert record.driver.code == 7
    assert record.not_durable == errno.ENOSPC
    assert os.listdir(small_disk) == ["ballast"]


@pytest.mark.requirement("fault-16", "guard-2.5")
def test_read_only_remount_is_told(small_disk: Path) -> None:
    with Guard.start(Launch(argv=("/bin/sh", "-c", "read x; exit 7")), stdin=(pipe := os.pipe())[0],
                     record=small_disk / "record") as guard:  # fmt: skip
        os.close(pipe[0])
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
        os.close(pipe[1])
        record = guard.wait(30)
    assert record.driver is not None
    assert record.driver.code == 7
    assert record.not_durable == errno.EROFS
    assert os.listdir(small_disk) == []


def running(path: Path) -> tuple[Guard, int]:
    """A job that ends, with code 7, when the descriptor is closed."""
    read_end, write_end = os.pipe()
    try:
        guard = Guard.start(Launch(argv=("/bin/sh", "-c", "read x; exit 7")), stdin=read_end, record=path)
    finally:
        os.close(read_end)
    return guard, write_end


@pytest.mark.requirement("guard-2.5")
def test_moved_state_directory_still_gets_the_record(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    guard, end = running(tmp_path / "state" / "record")
    with guard:
        (tmp_path / "state").rename(tmp_path / "moved")
        (tmp_path / "state").mkdir()
        os.close(end)
        record = guard.wait(30)
    assert record.not_durable == 0
    assert records.read(tmp_path / "moved" / "record") == record
    assert os.listdir(tmp_path / "state") == []


@pytest.mark.requirement("guard-2.5")
def test_deleted_state_directory_is_told(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    guard, end = running(tmp_path / "state" / "record")
    with guard:
        (tmp_path / "state").rmdir()
        os.close(end)
        record = guard.wait(30)
    assert record.driver is not None
    assert record.driver.code == 7
    assert record.not_durable == errno.ENOENT


def fail_guard(monkeypatch: pytest.MonkeyPatch, folder: Path, *injections: str) -> Path:
    need_strace()
    return traced_guard(monkeypatch, folder, *(f"--inject={text}" for text in injections))


@pytest.mark.requirement("fault-14", "guard-2.5")
@pytest.mark.parametrize("which", [1, 2])
def test_fsync_that_fails_once_is_retried_with_a_new_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: int
) -> None:
    log = fail_guard(monkeypatch, tmp_path, f"fsync:error=EIO:when={which}")
    path = tmp_path / "state" / "record"
    path.parent.mkdir()
    record = ended(path, "/bin/sh", "-c", "exit 7")
    assert record.not_durable == 0
    assert record.retried == errno.EIO
    assert records.read(path) == replace(record, retried=0)
    text = whole_log(log)
    assert text.count("renameat2(") == which
    assert '"record.tmp0"' in text
    assert '"record.tmp1"' in text
    opened = [line for line in text.splitlines() if "openat(" in line and "record.tmp" in line]
    assert len(opened) == 2, "the second attempt makes a file of its own"
    assert os.listdir(path.parent) == ["record"]


@pytest.mark.requirement("fault-14", "fault-15")
@pytest.mark.parametrize("error", ["EIO", "ENOSPC", "EDQUOT"])
def test_fsync_that_fails_for_good_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: str) -> None:
    fail_guard(monkeypatch, tmp_path, f"fsync:error={error}:when=1+")
    record = ended(tmp_path / "record", "/bin/sh", "-c", "exit 7")
    assert record.driver is not None
    assert record.driver.code == 7
    assert record.not_durable == getattr(errno, error)


@pytest.mark.requirement("fault-17")
@pytest.mark.parametrize(
    "injection", ["write:error=EINTR:when=1", "write:error=EINTR:when=1..5", "fsync:error=EINTR:when=1..2"]
)
def test_interrupted_calls_leave_a_whole_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, injection: str
) -> None:
    fail_guard(monkeypatch, tmp_path, injection)
    path = tmp_path / "record"
    record = ended(path, "/bin/sh", "-c", "exit 7")
    assert record.driver is not None
    assert record.driver.code == 7
    assert (record.not_durable, record.retried) == (0, 0)
    assert records.read(path) == record


@pytest.mark.requirement("fault-17")
def test_short_writes_leave_a_whole_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tampered_guard(monkeypatch, tmp_path, "short")
    path = tmp_path / "record"
    record = ended(path, "/bin/sh", "-c", "exit 7")
    assert record.driver is not None
    assert record.driver.code == 7
    assert (record.not_durable, record.retried) == (0, 0)
    assert records.read(path) == record


@pytest.mark.requirement("fault-17", "fault-15")
def test_a_write_cut_short_by_a_limit_is_told(tmp_path: Path) -> None:
    """A real short write: the kernel takes 300 bytes, then refuses the rest."""
    script = (
        "import resource, sys; from pathlib import Path; from raydp_wrap.model import Launch;"
        "from raydp_wrap.process import Guard; resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300));"
        "g = Guard.start(Launch(argv=('/bin/sh', '-c', 'exit 7')), record=Path(sys.argv[1]) / 'record');"
        "r = g.wait(30); g.close(); print(r.driver.code, r.not_durable)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["7", str(errno.EFBIG)]
    assert os.listdir(tmp_path) == []
