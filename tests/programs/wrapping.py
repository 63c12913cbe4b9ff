"""How the tests call ``raydp-wrap run``: always as a process of its own, away from any terminal of ours."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PATIENCE = 30.0


def until(true: Callable[[], Any], what: str, timeout: float = PATIENCE) -> Any:
    """Wait for TRUE() to be true; what it returned."""
    deadline = time.monotonic() + timeout
    while not (found := true()):
        assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
        time.sleep(0.005)
    return found


def alive(pid: int) -> bool:
    """Whether PID is a process that still runs (a zombie doesn't)."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def reap_orphans(timeout: float = PATIENCE) -> None:
    """Wait for what a killed owner left to this process, guard and delivery; all Popens must be waited for."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            assert time.monotonic() < deadline, "orphans are left"
            time.sleep(0.005)


class Wrap:
    """``raydp-wrap run`` and where it keeps its state."""

    def __init__(self, tmp_path: Path) -> None:
        self.tmp_path = tmp_path
        self.home = tmp_path / "state"
        self.report = tmp_path / "report.json"
        self._started: list[subprocess.Popen[bytes]] = []

    @staticmethod
    def argv(*arguments: str | bytes) -> list[str | bytes]:
        return [sys.executable, "-m", "raydp_wrap", "run", *arguments]

    def start(self, *arguments: str | bytes, **options: Any) -> subprocess.Popen[bytes]:
        for stream in ("stdin", "stdout", "stderr"):
            options.setdefault(stream, subprocess.PIPE)
        options.setdefault("start_new_session", True)
        process = subprocess.Popen(self.argv(*arguments), **options)
        self._started.append(process)
        return process

    def run(self, *arguments: str | bytes, **options: Any) -> subprocess.CompletedProcess[bytes]:
        options.setdefault("stdin", subprocess.DEVNULL)
        data = options.pop("input", None)
        if data is not None:
            options["stdin"] = subprocess.PIPE
        process = self.start(*arguments, **options)
        out, err = process.communicate(data, timeout=60)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def call(self, *words: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
        """Another command of raydp-wrap's, with the same state."""
        command = [sys.executable, "-m", "raydp_wrap", *words]
        return subprocess.run(command, check=False, capture_output=True, timeout=60, **options)

    def outcome(self) -> dict[str, Any]:
        return json.loads(self.report.read_text(encoding="utf-8"))

    def left(self) -> list[str]:
        """What is left of runs in the state directory."""
        found = sorted((self.home / "run").glob("*/*")) + sorted((self.home / "run").glob("*"))
        return [str(path.relative_to(self.home)) for path in found]

    def close(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.kill()
                process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    with contextlib.suppress(OSError):
                        stream.close()


def line(process: subprocess.Popen[bytes]) -> bytes:
    """The next line on PROCESS's stdout."""
    assert process.stdout is not None
    return process.stdout.readline().rstrip(b"\n")
