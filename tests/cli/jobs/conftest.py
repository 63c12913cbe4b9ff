"""The command line for jobs, mostly called in this process, on a home with a background supervisor for each file."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from programs.facts import eventually
from supervised import retired

from raydp_wrap.cli import main
from raydp_wrap.supervisor.background import ensure

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE = 30.0


@dataclass(frozen=True)
class Said:
    """What a command exited with, and printed."""

    code: int
    raw: bytes
    err: str

    @property
    def out(self) -> str:
        return self.raw.decode()

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def json(self) -> Any:
        return json.loads(self.raw)


class Jobs:
    """``raydp-wrap jobs``."""

    def __init__(self, captured: pytest.CaptureFixture[bytes]) -> None:
        self._captured = captured
        self._started: list[subprocess.Popen[bytes]] = []

    def __call__(self, *words: str) -> Said:
        self._captured.readouterr()
        code = main(["jobs", *words])
        said = self._captured.readouterr()
        return Said(code, said.out, said.err.decode())

    def submit(self, *words: str) -> str:
        """The id of a new job."""
        said = self("submit", "--quiet", *words)
        assert (said.code, said.err, len(said.lines)) == (0, "", 1), said
        return said.lines[0]

    def ended(self, *words: str) -> str:
        """The id of a new job that has ended."""
        found = self.submit(*words)
        self("wait", "--quiet", found)
        return found

    def refused(self, *words: str) -> str:
        """The one sentence that is said instead."""
        said = self(*words)
        assert (said.code, said.raw, said.err.count("\n")) == (125, b"", 1), said
        return said.err.removeprefix("raydp-wrap: ").rstrip("\n")

    def phase(self, job: str) -> str:
        return self("status", "--json", job).json["phase"]

    def start(self, *words: str, **options: Any) -> subprocess.Popen[bytes]:
        """The command as a process of its own."""
        for stream in ("stdout", "stderr"):
            options.setdefault(stream, subprocess.PIPE)
        command = [sys.executable, "-m", "raydp_wrap", "jobs", *words]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, **options)
        self._started.append(process)
        return process

    def close(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.wait()
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    with contextlib.suppress(OSError):
                        stream.close()


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("home")
    place.chmod(0o700)
    with pytest.MonkeyPatch.context() as patch, retired(place):
        patch.setenv("RAYDP_WRAP_HOME", str(place))
        patch.setenv("RAYDP_WRAP_LINGER", "1h")
        ensure(place).close()
        yield place


@pytest.fixture
def home(shared_home: Path, own_state: None, monkeypatch: pytest.MonkeyPatch) -> Path:  # noqa: ARG001 - it is undone
    monkeypatch.setenv("RAYDP_WRAP_HOME", str(shared_home))
    monkeypatch.setenv("NO_COLOR", "1")
    return shared_home


@pytest.fixture(autouse=True)
def own_interrupt() -> Iterator[None]:
    """What a face does to SIGINT for its own process is undone."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def jobs(home: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> Iterator[Jobs]:  # noqa: ARG001 - where they are
    one = Jobs(capfdbinary)
    yield one
    one.close()


@pytest.fixture
def held(jobs: Jobs) -> Iterator[str]:
    """The id of a job that runs until it is stopped."""
    found = jobs.submit("--name", "held", "--", "sleep", "1000")
    eventually(lambda: jobs.phase(found) == "RUNNING", "it runs")
    yield found
    jobs("stop", "--grace", "0", "--wait", found)


class Screen:
    """A command on a terminal of its own."""

    def __init__(self, *words: str, width: int = 200) -> None:
        self._master, slave = os.openpty()
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "raydp_wrap", "jobs", *words],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - no threads here
        )
        os.close(slave)
        self.seen = ""

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def until(self, text: str) -> None:
        """Read until TEXT has appeared."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.seen:
            assert self._read(deadline), f"{text!r} did not appear: {self.seen!r}"

    def end(self) -> int:
        """Read to the end; the exit code."""
        deadline = time.monotonic() + PATIENCE
        while self._read(deadline):
            pass
        return self.process.wait(PATIENCE)

    def _read(self, deadline: float) -> bool:
        if not select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:  # every process has left the terminal
            return False
        self.seen += data.decode("utf-8", "replace")
        return bool(data)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)


@pytest.fixture
def screen(home: Path) -> Iterator[Any]:  # noqa: ARG001 - where the jobs are
    opened: list[Screen] = []

    def make(*words: str, width: int = 200) -> Screen:
        opened.append(Screen(*words, width=width))
        return opened[-1]

    yield make
    for one in opened:
        one.close()
