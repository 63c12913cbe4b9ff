"""What a guard does for the output of its job, which it never touches: when it looks, what it writes down and drops."""

from __future__ import annotations

import os
import resource
import stat
import struct
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from crash.harness import strays, until
from crash.traced import calls, traced_guard

from raydp_wrap.errors import UsageError
from raydp_wrap.model import Launch
from raydp_wrap.process import DEVNULL, Guard

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Self

pytestmark = pytest.mark.usefixtures("strays")
__all__ = ["strays"]

CHATTY = "while :; do echo $$; done"
ONCE = "echo once; exec sleep 1000"
LIMIT = 1 << 20
# More than the limit, and never less than what is kept of it.
BURST = "head -c 3000000 /dev/zero | tr '\\0' x; exec sleep 1000"


class Kept:
    """A job whose output is a file in DIRECTORY, under a guard that looks after it."""

    def __init__(self, directory: Path, script: str, limit: int | None = None, **launch: object) -> None:
        self.directory = directory
        streams = [
            os.open(directory / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            for name in (("output", "errors") if launch.get("split_output") else ("output",))
        ]
        try:
            self.guard = Guard.start(
                Launch(("/bin/sh", "-c", script), **launch),  # type: ignore[arg-type]
                stdin=DEVNULL,
                stdout=streams[0],
                stderr=streams[-1],
                record=directory / "record",
                look_after_output=True,
                log_limit=limit,
                grace=0.2,
            )
        finally:
            for fd in streams:
                os.close(fd)

    def entries(self) -> list[tuple[int, int, int]]:
        path = self.directory / "times"
        return [*struct.iter_unpack("=qqq", path.read_bytes())] if path.exists() else []

    def blocks(self) -> int:
        return (self.directory / "output").stat().st_blocks * 512

    def wakes(self) -> int:
        """How often the guard has gone to sleep."""
        text = Path(f"/proc/{self.guard.guard_pid}/status").read_text(encoding="ascii")
        return int(text.partition("\nvoluntary_ctxt_switches:")[2].split()[0])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.guard.stop()
        self.guard.wait(30)
        self.guard.close()


@pytest.fixture
def _punches(tmp_path: Path) -> None:
    """Skip where the file system can't make holes."""
    with Kept(tmp_path, "head -c 3000000 /dev/zero; exit", LIMIT) as kept:
        kept.guard.wait(30)
    if kept.blocks() > 2 * LIMIT:
        pytest.skip("no holes can be made in files here")
    for name in os.listdir(tmp_path):
        (tmp_path / name).unlink()


@pytest.mark.requirement("jobs-3.4", "guard-2.1")
def test_it_looks_seldom_at_what_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = traced_guard(monkeypatch, tmp_path)
    with Kept(tmp_path, CHATTY, 1 << 16) as kept:
        until(lambda: len(kept.entries()) >= 2, "the output is looked at")
        text = Path(f"/proc/{kept.guard.guard_pid}/status").read_text(encoding="ascii")
        assert int(text.partition("\nVmRSS:")[2].split()[0]) <= 64, "kB, with all its code used"
        size = (tmp_path / "output").stat().st_size
        assert size > 1000 * len(kept.entries())
    # Each write is an event, and each look has its entry. The rest: the first event, a stop and its end.
    assert calls(log)["ppoll"] <= len(kept.entries()) + 8
    sizes = [entry[1] for entry in kept.entries()]
    assert sizes == sorted(set(sizes)), "an entry for each growth"
    assert sizes[-1] == (tmp_path / "output").stat().st_size, "the last one is of the end"


@pytest.mark.requirement("jobs-3.4", "guard-2.1")
def test_it_sleeps_while_nothing_is_written(tmp_path: Path) -> None:
    with Kept(tmp_path, ONCE) as kept:
        until(kept.entries, "what was written is looked at")
        assert [entry[1:] for entry in kept.entries()] == [(5, 0)]
        time.sleep(1.2)  # the guard's last look after what was written: it leaves no trace
        before = kept.wakes()
        time.sleep(1.2)  # time in which nothing may happen
        assert kept.wakes() == before
        with open(tmp_path / "output", "ab") as file:
            file.write(b"more")
        until(lambda: len(kept.entries()) == 2, "it is woken again")


@pytest.mark.requirement("jobs-3.6")
def test_what_is_over_at_once_has_no_index(tmp_path: Path) -> None:
    with Kept(tmp_path, "echo word") as kept:
        record = kept.guard.wait(30)
    assert bool(kept.entries()) == (record.duration >= 1)
    assert (tmp_path / "output").read_bytes() == b"word\n"


@pytest.mark.requirement("jobs-3.6")
def test_the_index_knows_both_streams(tmp_path: Path) -> None:
    with Kept(tmp_path, "echo word; echo worse >&2; exec sleep 1000", split_output=True) as kept:
        until(kept.entries, "both are looked at")
        wall, output, errors = kept.entries()[-1]
        assert (output, errors) == (5, 6)
        assert wall >= max((tmp_path / name).stat().st_mtime_ns for name in ("output", "errors"))
        assert stat.S_IMODE((tmp_path / "times").stat().st_mode) == 0o600


@pytest.mark.requirement("jobs-3.3")
@pytest.mark.usefixtures("_punches")
@pytest.mark.parametrize("without", ["nothing", "signals", "any event"])
def test_the_oldest_are_dropped_while_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without: str) -> None:
    injected = {
        "nothing": [],
        "signals": ["--inject=signalfd4:error=EMFILE:when=2"],
        "any event": ["--inject=signalfd4:error=EMFILE:when=2", "--inject=inotify_init1:error=EMFILE"],
    }[without]
    if injected:
        log = traced_guard(monkeypatch, tmp_path, *injected)
    with Kept(tmp_path, BURST, LIMIT) as kept:
        until(lambda: kept.entries() and kept.entries()[-1][1] == 3_000_000, "all is written, and looked at")
        assert kept.blocks() <= LIMIT, "the oldest were dropped first"
        assert kept.blocks() >= LIMIT * 3 // 4
        data = (tmp_path / "output").read_bytes()
        assert len(data) == 3_000_000, "no offset has changed"
        assert data.rstrip(b"x") == bytes(len(data.rstrip(b"x"))), "first a hole, then all there was"
        assert len(data.strip(b"\0")) >= LIMIT * 3 // 4
    if injected:
        assert calls(log)["inotify_init1"] == 1


@pytest.mark.requirement("jobs-3.3")
@pytest.mark.usefixtures("_punches")
def test_the_size_is_kept_at_the_end_too(tmp_path: Path) -> None:
    with Kept(tmp_path, "head -c 3000000 /dev/zero | tr '\\0' x") as all_of_it:
        all_of_it.guard.wait(30)
    assert (tmp_path / "output").read_bytes() == b"x" * 3_000_000
    (tmp_path / "output").unlink()
    with Kept(tmp_path, "head -c 3000000 /dev/zero | tr '\\0' x", LIMIT) as kept:
        kept.guard.wait(30)
        assert LIMIT * 3 // 4 <= kept.blocks() <= LIMIT, "before the record was written"


@pytest.mark.requirement("jobs-3.3")
def test_a_file_that_can_t_have_holes_stays_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = traced_guard(monkeypatch, tmp_path, "--inject=fallocate:error=EOPNOTSUPP")
    with Kept(tmp_path, "head -c 3000000 /dev/zero | tr '\\0' x", LIMIT) as kept:
        assert kept.guard.wait(30).guard_errno == 0
    assert calls(log)["fallocate"] > 0
    assert (tmp_path / "output").read_bytes() == b"x" * 3_000_000


def facts(tmp_path: Path, **launch: int | None) -> list[str]:
    with Kept(tmp_path, "umask; ulimit -Sn; ulimit -Hn", **launch) as kept:
        kept.guard.wait(30)
    return (tmp_path / "output").read_text(encoding="ascii").split()


@pytest.fixture
def _raised() -> Iterator[None]:
    """Our own soft limit as high as a daemon's."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.requirement("guard-2.9")
@pytest.mark.usefixtures("_raised")
def test_the_driver_has_the_submitter_s_umask_and_limit(tmp_path: Path) -> None:
    hard = str(resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    assert facts(tmp_path, umask=0o137, nofile=64) == ["0137", "64", hard]
    assert stat.S_IMODE((tmp_path / "record").stat().st_mode) == 0o600, "the guard's own umask is its starter's"


@pytest.mark.requirement("guard-2.9")
@pytest.mark.usefixtures("_raised")
def test_unasked_it_has_ours(tmp_path: Path) -> None:
    hard = str(resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    before = os.umask(0o031)
    try:
        assert facts(tmp_path) == ["0031", hard, hard]
    finally:
        os.umask(before)


@pytest.mark.requirement("guard-2.9")
def test_a_limit_above_the_hard_one_is_the_hard_one(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[0] // 2, before[1]))
    try:
        assert facts(tmp_path, nofile=2**70)[1:] == [str(before[1]), str(before[1])]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.requirement("guard-2.9")
def test_the_guard_s_own_come_back(tmp_path: Path) -> None:
    with Kept(tmp_path, "exec sleep 1000", umask=0o777, nofile=40) as kept:
        status = Path(f"/proc/{kept.guard.guard_pid}/status").read_text(encoding="ascii")
        limits = Path(f"/proc/{kept.guard.guard_pid}/limits").read_text(encoding="ascii")
        mask = os.umask(0)
        os.umask(mask)
        assert f"\nUmask:\t{mask:04o}\n" in status
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        assert limits.partition("Max open files")[2].split()[0] == str(soft)


@pytest.mark.requirement("guard-2.9")
@pytest.mark.parametrize(
    "wrong", [{"umask": -1}, {"umask": 0o1000}, {"nofile": -1}, {"limit": 0}, {"limit": -1}], ids=str
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="give a number"):
        Kept(tmp_path, ONCE, **wrong)  # type: ignore[arg-type]
    assert not (tmp_path / "times").exists()


def test_an_index_needs_a_place(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="record"), open(tmp_path / "output", "ab") as file:
        Guard.start(Launch(("/bin/true",)), stdout=file, look_after_output=True)
