"""The disk fills up, fails, goes read-only or loses its power, the process is killed: nothing acknowledged is lost."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import re
import select
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import apsw
import pytest
from crash.harness import PATIENCE, need, need_strace
from crash.test_power_cuts import Disk, disk, libc
from store.making import ENV, PROGRAMS, SINKS, ended, home, submission

from raydp_wrap.errors import StoreError
from raydp_wrap.model import TerminalState
from raydp_wrap.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["disk", "home"]

MS_REMOUNT, MS_RDONLY = 32, 1
COMMITTERS, THREADS = 2, 2


def check_whole(home: Path) -> None:
    """In one piece, and nothing half done."""
    connection = apsw.Connection(str(home / "store.db"))
    try:
        assert connection.pragma("integrity_check") == "ok"
        half_done = (
            "SELECT submission_id FROM submissions AS s WHERE (s.state <> 'UNKNOWN') * 2 <>"
            " (SELECT count(*) FROM outbox AS o WHERE o.submission_id = s.submission_id)"
            " OR NOT EXISTS (SELECT 1 FROM attempts AS a WHERE a.submission_id = s.submission_id)"
        )
        assert connection.execute(half_done).fetchall() == []
    finally:
        connection.close()


def on(disk: Disk) -> Path:
    path = disk.at / "home"
    path.mkdir(0o700)
    return path


def submit_more(store: Store, numbers: Iterator[int]) -> None:
    for number in numbers:
        store.submit(submission(f"job-{number}"))


class Filler:
    """All that is free of a disk."""

    def __init__(self, disk: Disk) -> None:
        self.path = disk.at / "filler"
        with self.path.open("wb", buffering=0) as file:
            for size in (1 << 20, 4096, 1):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(bytes(size))

    def free(self) -> None:
        self.path.unlink()


@pytest.mark.requirement("fault-15")
def test_a_full_disk_is_told_and_the_old_state_stays(disk: Disk) -> None:
    home = on(disk)
    with Store(home) as store:
        store.submit(submission())
        filler = Filler(disk)
        numbers = itertools.count()
        with pytest.raises(StoreError, match=r"the disk is full.*: make room") as caught:
            submit_more(store, numbers)
        number = next(numbers) - 1
        assert "\n" not in str(caught.value)
        with pytest.raises(StoreError, match="the disk is full"):
            store.finish(ended(diagnostics="d" * 100_000))
        assert store.outcome("job") is None
        assert store.undelivered() == []
        assert len(store.undecided()) == number + 1
        filler.free()
        store.finish(ended())
        assert store.outcome("job") == ended()
        assert len(store.undecided()) == number
    check_whole(home)


@pytest.mark.requirement("fault-15")
def test_no_store_is_made_or_opened_on_a_full_disk(disk: Disk) -> None:
    made, new = on(disk), disk.at / "new"
    new.mkdir(0o700)
    with Store(made) as store:
        store.submit(submission())
        for number in range(100):
            store.submit(submission(f"job-{number}"))
    assert os.listdir(made) == ["store.db"], "its log was long enough to be tidied"
    filler = Filler(disk)
    for path in (made, new):
        with pytest.raises(StoreError, match="the disk is full"), Store(path) as store:
            submit_more(store, itertools.count(1000))
    assert not (new / "store.db").exists()
    filler.free()
    with Store(made) as store, Store(new) as other:
        store.finish(ended())
        other.submit(submission())


@pytest.mark.requirement("fault-16")
def test_a_disk_that_goes_read_only(disk: Disk) -> None:
    home = on(disk)
    with Store(home) as store:
        store.submit(submission())
    assert libc.mount(None, str(disk.at).encode(), None, MS_REMOUNT | MS_RDONLY, None) == 0
    try:
        with pytest.raises(StoreError, match=r"is read-only|can't be (opened|used)") as caught, Store(home) as store:
            store.finish(ended())
        assert "\n" not in str(caught.value)
    finally:
        assert libc.mount(None, str(disk.at).encode(), None, MS_REMOUNT, None) == 0
    with Store(home) as store:
        assert store.undecided() == [submission()]
        store.finish(ended())


@pytest.mark.requirement("fault-13")
def test_the_very_first_commit_survives_a_cut(disk: Disk) -> None:
    for number in range(5):
        home = disk.at / f"home-{number}"
        home.mkdir(0o700)
        with Store(home) as store:
            store.submit(submission())
            disk.cut()
            with contextlib.suppress(StoreError):
                store.finish(ended())
        disk.unmount()
        disk.mount()
        with Store(home) as store:
            assert store.submission("job") == submission()


def traced(home: Path, log: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """steps.py under strace."""
    command = [sys.executable, str(PROGRAMS / "steps.py"), str(home)]
    return subprocess.run(
        [need_strace(), "-q", "-o", str(log), *options, *command],
        env=ENV,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def traced_sites(home: Path, log: Path, calls: str) -> list[tuple[str, int]]:
    """(call, Nth) of one whole run."""
    whole = traced(home, log, f"--trace={calls}")
    need(log.stat().st_size, "strace traces nothing here")
    assert len(done(whole.stdout)) == 10
    counts = {call: len(re.findall(rf"\b{call}\(", log.read_text())) for call in calls.split(",")}
    return [(call, nth) for call, count in counts.items() for nth in range(1, count + 1)]


def done(said: str) -> set[str]:
    return {line.partition(" ")[2] for line in said.splitlines() if line.startswith("done ")}


def check_acknowledged(home: Path, said: str) -> None:
    """What steps.py was told is there, is there."""
    acknowledged = done(said)
    with Store(home) as store:
        for job in ("one", "two"):
            if f"submit {job}" in acknowledged:
                assert store.submission(job) == submission(job)
            if f"finish {job}" in acknowledged:
                assert store.outcome(job) == ended(job)
            waiting = [row.sink for row in store.undelivered() if row.submission_id == job]
            for position, sink in enumerate(SINKS, 1):
                assert f"settle {job} {job}.{position}" not in acknowledged or sink not in waiting
    check_whole(home)


def fail_fsyncs(home: Path, log: Path, error: str, sites: list[tuple[str, int]]) -> None:
    for call, nth in sites:
        for file in home.iterdir():
            file.unlink()
        run = traced(home, log, "-y", f"--trace={call}", f"--inject={call}:error={error}:when={nth}")
        assert run.returncode == 0, run.stderr
        (injected,) = [line for line in log.read_text().splitlines() if "INJECTED" in line]
        told = [line for line in run.stdout.splitlines() if line.startswith("failed ")]
        if f"<{home}>" in injected and call == "fdatasync":
            # SQLite's own sync of the directory, which it does not care for; the store makes another.
            assert told == []
            continue
        assert len(told) == 1, f"a step whose fsync failed was acknowledged: {injected}"
        words = ("the disk failed", "can't be used") if error == "EIO" else ("the disk is full",)
        assert any(word in told[0] for word in words)
        assert len(done(run.stdout)) + run.stdout.count("there ") == 10, "the second try went through"
        check_acknowledged(home, run.stdout)


def kill_at(home: Path, log: Path, sites: list[tuple[str, int]]) -> set[int]:
    """How many steps were acknowledged before the kill, in all cases."""
    outcomes = set()
    for call, nth in sites:
        for file in home.iterdir():
            file.unlink()
        run = traced(home, log, f"--trace={call}", f"--inject={call}:signal=KILL:when={nth}")
        assert "killed by SIGKILL" in log.read_text()
        outcomes.add(len(done(run.stdout)))
        check_acknowledged(home, run.stdout)
    return outcomes


SYNCS = "fsync,fdatasync"
CHANGES = f"{SYNCS},pwrite64,rename,unlink,ftruncate,fchmod"


def sample(sites: list[tuple[str, int]], count: int) -> list[tuple[str, int]]:
    seed = random.randrange(2**32)
    print(f"seed {seed}, {len(sites)} calls")
    return random.Random(seed).sample(sites, count)


@pytest.mark.requirement("fault-14", "store-2.1")
def test_some_fsyncs_that_fail(home: Path, tmp_path: Path) -> None:
    log = tmp_path / "trace"
    fail_fsyncs(home, log, "EIO", sample(traced_sites(home, log, SYNCS), 5))


@pytest.mark.slow
@pytest.mark.requirement("fault-14", "fault-15", "store-2.1")
@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
def test_every_fsync_that_fails_is_told_and_never_taken_for_done(home: Path, tmp_path: Path, error: str) -> None:
    log = tmp_path / "trace"
    sites = traced_sites(home, log, SYNCS)
    assert len(sites) >= 12, "one for each commit, and some for the making"
    fail_fsyncs(home, log, error, sites)


@pytest.mark.requirement("store-2.1")
def test_killed_at_some_calls(home: Path, tmp_path: Path) -> None:
    log = tmp_path / "trace"
    kill_at(home, log, sample(traced_sites(home, log, CHANGES), 5))


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.requirement("store-2.1")
def test_killed_at_every_call_that_changes_the_disk(home: Path, tmp_path: Path) -> None:
    log = tmp_path / "trace"
    sites = traced_sites(home, log, CHANGES)
    assert len(sites) > 60
    assert kill_at(home, log, sites) >= set(range(9))


@pytest.mark.requirement("fault-14")
def test_a_read_that_fails_is_no_damage(disk: Disk) -> None:
    """SQLite says of it that the file is malformed, and who moves a whole store away has lost it."""
    home = on(disk)
    with Store(home) as store, Store(home) as other:
        store.submit(submission())
        other.finish(ended())
        disk.cut()
        for _ in range(3):
            for one in (store, other):
                with pytest.raises(StoreError, match=r"the disk failed .*\(Input/output error\)"):
                    one.submit(submission("other"))
    disk.unmount()
    disk.mount()
    with Store(home) as store:
        assert store.outcome("job") == ended()


@pytest.mark.requirement("fault-13", "store-2.1")
def test_a_decision_that_was_seen_stays(disk: Disk, tmp_path: Path) -> None:
    """Its maker was killed between write and fsync; whoever reads it acts on it, and then the power goes."""
    log = tmp_path / "trace"
    home = on(disk)
    traced(home, log, "--trace=fdatasync,write")
    before, found, _ = log.read_text().partition('"submit one"')
    need(found, "strace traces nothing here")
    nth = before.count("fdatasync(") + 1
    shutil.rmtree(home)
    home.mkdir(0o700)
    run = traced(home, log, "--trace=fdatasync", f"--inject=fdatasync:signal=KILL:when={nth}")
    assert "killed by SIGKILL" in log.read_text()
    assert done(run.stdout) == {"open", "submit one"}
    with Store(home) as store:
        assert store.outcome("one") == ended("one"), "it was written, and is seen"
        disk.cut()
    disk.unmount()
    disk.mount()
    with Store(home) as store:
        assert store.outcome("one") == ended("one"), "what was read before the cut is gone after it"


class Committers:
    """Processes that commit for their lives, and what they say."""

    def __init__(self, count: int, threads: int) -> None:
        self.processes = [
            subprocess.Popen(
                [sys.executable, PROGRAMS / "committer.py", f"p{number}", str(threads)],
                env=ENV,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
            )
            for number in range(count)
        ]
        self.said = [b"" for _ in self.processes]

    def start(self, home: Path) -> None:
        """Let them begin, and wait until each has done something."""
        self.said = [b"" for _ in self.processes]
        for process in self.processes:
            assert process.stdin
            process.stdin.write(f"{home}\n".encode())
        self._read(lambda said: b"\n" in said)

    def _read(self, enough: Callable[[bytes], bool], patience: float = PATIENCE) -> None:
        for number, process in enumerate(self.processes):
            assert process.stdout
            while not enough(self.said[number]):
                if not select.select([process.stdout], [], [], patience)[0]:
                    assert patience == 0, f"hangs after {self.said[number]!r}"
                    break
                chunk = process.stdout.read(65536)
                if not chunk:
                    return
                self.said[number] += chunk

    def so_far(self) -> list[str]:
        """What they have said up to this moment."""
        self._read(lambda _: False, patience=0)
        return self.lines()

    def lines(self) -> list[str]:
        """The whole lines."""
        return [line.decode() for said in self.said for line in said.split(b"\n")[:-1]]

    def to_the_end(self) -> list[str]:
        """All that they say until they have closed, or are dead."""
        self._read(lambda said: said.endswith(b"closed\n"))
        return self.lines()

    def kill(self) -> None:
        for process in self.processes:
            process.kill()

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.communicate()


def check_lines(home: Path, lines: list[str]) -> int:
    """Every acknowledged step is there, once; how many decisions there were."""
    said: dict[str, set[str]] = {"submitted": set(), "finished": set(), "delivered": set()}
    for line in lines:
        word, _, rest = line.partition(" ")
        if word in said:
            said[word].add(rest)
    with Store(home) as store:
        waiting: dict[str, list[str]] = {}
        for row in store.undelivered():
            waiting.setdefault(row.submission_id, []).append(row.sink)
        for job in said["submitted"]:
            assert store.submission(job) == submission(job), "acknowledged and lost"
            assert len(store.attempts(job)) == 1
            outcome = store.outcome(job)
            if job in said["finished"]:
                assert outcome == ended(job, TerminalState.FAILED, job), "acknowledged and lost"
            if job in said["delivered"]:
                assert waiting[job] == [SINKS[1]], "acknowledged and lost"
            elif outcome is not None:
                assert waiting[job] in ([SINKS[1]], list(SINKS))
    check_whole(home)
    return len(said["finished"])


@pytest.fixture
def committers() -> Iterator[Committers]:
    made = Committers(COMMITTERS, THREADS)
    yield made
    made.end()


def cut_under_load(disk: Disk, committers: Committers, times: int) -> None:
    """The kernel takes some milliseconds for a cut, in which an fsync may be told that all is well.

    So what counts as acknowledged is what was said before the cut began: after a real one nobody says anything.
    """
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    finished = 0
    for number in range(times):
        home = disk.at / f"home-{number // 10}"
        home.mkdir(0o700, exist_ok=True)
        committers.start(home)
        at = time.perf_counter() + rng.random() * 0.03
        while time.perf_counter() < at:
            pass
        acknowledged = committers.so_far()
        disk.cut()
        told = [line for line in committers.to_the_end() if line.startswith("failed ")]
        assert len(told) == COMMITTERS * THREADS, "every thread was told"
        assert [line for line in told if "the disk failed" not in line] == [], "and the true reason"
        disk.unmount()
        disk.mount()
        finished += check_lines(home, acknowledged)
        if number % 10 == 9:
            shutil.rmtree(home)
    print(f"{times} cuts, {finished} decisions acknowledged before them")
    assert finished > times


# One decision after the other, as fast as it goes, until the disk says no.
RAW = """
import os, sys, apsw
connection = apsw.Connection(sys.argv[1])
connection.pragma("journal_mode", sys.argv[2])
connection.pragma("synchronous", sys.argv[3])
for number in range(1 << 30):
    try:
        connection.execute("INSERT INTO decisions VALUES (?)", (number,))
    except apsw.Error:
        break
    os.write(1, f"{number}\\n".encode())
"""


def lost_in_mode(disk: Disk, journal: str, synchronous: str, cuts: int) -> int:
    """After how many of CUTS an acknowledged decision was gone."""
    lost = 0
    for number in range(cuts):
        path = disk.at / f"{journal}-{synchronous}-{number}"
        connection = apsw.Connection(str(path))
        connection.pragma("journal_mode", journal)
        connection.execute("CREATE TABLE decisions (number)")
        connection.close()
        os.sync()
        with subprocess.Popen([sys.executable, "-c", RAW, path, journal, synchronous], stdout=subprocess.PIPE) as raw:
            assert raw.stdout
            said = raw.stdout.readline()
            at = time.perf_counter() + random.random() * 0.02
            while time.perf_counter() < at:
                pass
            os.set_blocking(raw.stdout.fileno(), False)
            said += raw.stdout.read() or b""
            disk.cut()
            os.set_blocking(raw.stdout.fileno(), True)
            raw.stdout.read()
        disk.unmount()
        disk.mount()
        connection = apsw.Connection(str(path))
        kept = {row[0] for row in connection.execute("SELECT number FROM decisions")}
        connection.close()
        lost += not {int(line) for line in said.split(b"\n")[:-1]} <= kept
        for file in disk.at.glob(f"{path.name}*"):
            file.unlink()
    return lost


@pytest.mark.slow
@pytest.mark.requirement("fault-13", "store-2.1")
def test_why_the_log_is_synced_at_each_commit(disk: Disk) -> None:
    modes = [("wal", "NORMAL"), ("wal", "FULL"), ("delete", "FULL"), ("delete", "EXTRA"), ("persist", "FULL")]
    lost = {mode: lost_in_mode(disk, *mode, cuts=60) for mode in modes}
    print(lost)
    assert lost["wal", "FULL"] == 0
    assert lost["wal", "NORMAL"] > 0, "this test sees no loss"


@pytest.mark.requirement("fault-13", "store-2.1")
def test_30_power_cuts_under_load(disk: Disk, committers: Committers) -> None:
    cut_under_load(disk, committers, 30)


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.requirement("fault-13", "store-2.1")
def test_1000_power_cuts_under_load(disk: Disk, committers: Committers) -> None:
    cut_under_load(disk, committers, 1000)


def kill_at_random(home: Path, times: int) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    finished = 0
    for _ in range(times):
        committers = Committers(COMMITTERS, THREADS)
        try:
            committers.start(home)
            at = time.perf_counter() + rng.random() * 0.03
            while time.perf_counter() < at:
                pass
            committers.kill()
            finished += check_lines(home, committers.to_the_end())
        finally:
            committers.end()
        for file in home.iterdir():
            file.unlink()
    assert finished > times


@pytest.mark.requirement("store-2.1")
def test_4_kills_under_load(home: Path) -> None:
    kill_at_random(home, 4)


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.requirement("store-2.1")
def test_200_kills_under_load(home: Path) -> None:
    kill_at_random(home, 200)
