"""What the guard's tests share: programs that are hard to end, and proof that they have ended."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from raydp_wrap.process import cgroup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROGRAMS = Path(__file__).parent.parent / "programs"
PATIENCE = 20.0  # how long anything may take before a test calls it a hang


def until(met: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """MET's first true result; fails when there is none in time."""
    deadline = time.monotonic() + patience
    while True:
        result = met()
        if result:
            return result
        if time.monotonic() > deadline:
            pytest.fail(f"not within {patience} s: {what}")
        time.sleep(0.002)


@functools.cache
def compiled(source: str, *flags: str) -> str:
    """A program of tests/programs, compiled once for the whole run."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("NOT TESTED: no C compiler to build the test programs with")
    # Readable and executable for other users too: some tests run as nobody.
    folder = tempfile.mkdtemp(prefix="raydp-wrap-programs-", dir=os.environ.get("RAYDP_WRAP_TEST_TMP"))
    os.chmod(folder, 0o755)
    import atexit  # noqa: PLC0415

    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    out = str(Path(folder) / Path(source).stem)
    subprocess.run([compiler, "-O1", "-Wall", *flags, "-o", out, str(PROGRAMS / source)], check=True)
    return out


def start_time(pid: int) -> int | None:
    """Clock ticks since boot at which PID started, None when it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def carriers(marker: str) -> list[int]:
    """Living processes with MARKER in their argv or environment, this one left out."""
    found = []
    data = marker.encode()
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        for file in ("cmdline", "environ"):
            with contextlib.suppress(OSError):
                if data in Path(f"/proc/{name}/{file}").read_bytes() and start_time(int(name)) is not None:
                    found.append(int(name))
                    break
    return found


class Tree:
    """One driver of shapes.c: its command line, its pids, and whether anything of it lives."""

    def __init__(self, folder: Path, shape: str, mode: str = "stay") -> None:
        self.marker = f"tree-{uuid.uuid4().hex}"
        self.log = folder / f"{self.marker}.log"
        self.argv = (compiled("shapes.c"), shape, mode, self.marker, str(self.log))

    def noted(self) -> list[tuple[int, int]]:
        try:
            lines = self.log.read_text().splitlines()
        except FileNotFoundError:
            return []
        return [(int(pid), int(start)) for pid, start in (line.split() for line in lines)]

    def alive(self) -> list[int]:
        known = [pid for pid, start in self.noted() if start_time(pid) == start]
        return sorted({*known, *carriers(self.marker)})

    def assert_gone(self, *spared: int) -> None:
        """Soon; SPARED hold the marker in an argv of their own."""
        until(lambda: set(self.alive()) <= set(spared), f"nothing of the tree lives (alive: {self.alive()})")

    def assert_gone_now(self, guard_pid: int) -> None:
        """At once: the guard, whose argv holds the marker too, has just said so."""
        left = [pid for pid in self.alive() if pid != guard_pid]
        assert left == [], f"alive: {left}"


class Ready:
    """A pipe for a driver's stdout: its "ready", and its end of file when nobody of the tree is left."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()
        self._seen = b""

    def _more(self, what: str) -> bytes:
        if self.write_end >= 0:
            os.close(self.write_end)
            self.write_end = -1
        assert select.select([self.read_end], [], [], PATIENCE)[0], f"hangs: {what}"
        chunk = os.read(self.read_end, 4096)
        self._seen += chunk
        return chunk

    def wait(self, word: bytes = b"ready\n") -> None:
        while word not in self._seen:
            assert self._more(f"the driver does not say {word!r}"), f"the driver ended before it said {word!r}"

    def wait_eof(self) -> None:
        """No process holds the other end: the one proof that a chain of quick forks can't slip past."""
        while self._more("somebody of the tree holds its stdout"):
            pass

    def close(self) -> None:
        for fd in (self.read_end, self.write_end):
            if fd >= 0:
                os.close(fd)


class Owner:
    """A process of its own that starts a guard (programs/guard_owner.py), to be killed."""

    def __init__(self, plan: dict[str, Any], *, wrap: tuple[str, ...] = (), **popen: Any) -> None:
        self.process = subprocess.Popen(
            [*wrap, sys.executable, str(PROGRAMS / "guard_owner.py"), json.dumps(plan)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
            **popen,
        )
        self.guard = self.driver = 0
        self.cgroup = ""
        self._seen = b""

    def line(self) -> dict[str, Any]:
        """The next thing it says."""
        assert self.process.stdout
        while b"\n" not in self._seen:
            assert select.select([self.process.stdout], [], [], PATIENCE)[0], "the owner says nothing"
            chunk = os.read(self.process.stdout.fileno(), 65536)
            assert chunk, "the owner ended without a word"
            self._seen += chunk
        line, _, self._seen = self._seen.partition(b"\n")
        told: dict[str, Any] = json.loads(line)
        return told

    def started(self) -> None:
        told = self.line()
        self.guard, self.driver, self.cgroup = told["guard"], told["driver"], told["cgroup"]

    def go(self) -> None:
        """Let it take its next step."""
        assert self.process.stdin
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        self.process.kill()
        self.end()

    def end(self) -> int:
        assert self.process.stdin
        assert self.process.stdout
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        code = self.process.wait(PATIENCE)
        self.process.stdout.close()
        return code


def has_cgroup() -> bool:
    return cgroup.locate()[0] is not None


def need(met: object, what: str) -> None:
    if not met:
        pytest.skip(f"NOT TESTED: {what}")


def need_root() -> None:
    need(os.geteuid() == 0, "needs root")


def need_strace() -> str:
    path = shutil.which("strace")
    need(path, "needs strace")
    assert path
    return path


def my_zombies(before: set[int]) -> list[int]:
    found = []
    with contextlib.suppress(OSError):
        for task in os.listdir("/proc/self/task"):
            for word in Path(f"/proc/self/task/{task}/children").read_text().split():
                pid = int(word)
                if pid not in before and start_time(pid) is None:
                    found.append(pid)
    return found


def my_children() -> set[int]:
    found: set[int] = set()
    for task in os.listdir("/proc/self/task"):
        with contextlib.suppress(OSError):
            found.update(int(word) for word in Path(f"/proc/self/task/{task}/children").read_text().split())
    return found


def reap_strays(before: set[int], patience: float = 5.0) -> None:
    """Reap what has ended and come to this subreaper, and give what is about to end a moment."""
    deadline = time.monotonic() + patience
    while my_children() - before:
        for pid in my_zombies(before):
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        if time.monotonic() > deadline or not my_children() - before:
            return
        time.sleep(0.005)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A directory that other users can write to."""
    with tempfile.TemporaryDirectory(prefix="raydp-wrap-test-") as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


@pytest.fixture
def strays() -> Iterator[None]:
    """Orphans of killed owners come here to be reaped; one that lives on is left for no_survivor to fail."""
    before = my_children()
    yield
    reap_strays(before)


def kill_quietly(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
