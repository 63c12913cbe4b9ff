"""The parent processes of a run, one per size and language, each driven over a pipe so that samples interleave."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from benchmarks.children import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.children import Binaries

SIZES = {"20M": 20 << 20, "1G": 1 << 30, "4G": 4 << 30}
IN_C = "C-"  # before the size: a parent that is a C program
FRESH = "fresh"  # a new Python process for each sample

_SPARE = 1 << 30  # bytes that stay free for everyone else
_ANSWER = 180.0  # seconds, for the longest measure there is
_GUARD = ROOT / "raydp_wrap" / "raydp-guard"


class NotMeasuredError(Exception):
    """This machine can't; the message says why."""


class FailedError(Exception):
    """A measurement went wrong; the message says how."""


def _available() -> int:
    with open("/proc/meminfo", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable:"))


def _size(name: str) -> int:
    return SIZES["20M" if name == FRESH else name.removeprefix(IN_C)]


class Parent:
    """One parent process, ended by :meth:`close`."""

    def __init__(self, name: str, command: list[str]) -> None:
        self.name = name
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def _line(self) -> str:
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], _ANSWER)[0]:
            raise FailedError(f"parent {self.name} does not answer within {_ANSWER} s")
        line = self._process.stdout.readline()
        if not line:
            raise FailedError(f"parent {self.name} ended ({self._process.wait()})")
        return line

    def await_ready(self) -> None:
        """Wait for the ballast."""
        self._line()

    def sample(self, method: str) -> dict[str, float]:
        """One sample: value's name → nanoseconds (or bytes).

        Raises:
            NotMeasuredError, FailedError.

        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(method.removeprefix("c-") + "\n" if self.name.startswith(IN_C) else method + "\n")
        except OSError as error:
            raise FailedError(f"parent {self.name} is gone: {error.strerror}") from error
        line = self._line()
        return self._from_c(line, method) if self.name.startswith(IN_C) else self._from_python(line)

    @staticmethod
    def _from_c(line: str, method: str) -> dict[str, float]:
        numbers = [int(word) for word in line.split()]
        if min(numbers) < 0:
            raise FailedError(os.strerror(-min(numbers)))
        return dict(zip((method, f"{method}-reaped"), numbers, strict=False))

    @staticmethod
    def _from_python(line: str) -> dict[str, float]:
        answer: dict[str, Any] = json.loads(line)
        if "missing" in answer:
            raise NotMeasuredError(answer["missing"])
        if "failed" in answer:
            raise FailedError(answer["failed"])
        return dict(answer["values"])

    def close(self) -> None:
        """End it: EOF, and if it doesn't see that, SIGKILL."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


class Parents:
    """Those of one run, started together."""

    def __init__(self, binaries: Binaries, records: Path | None, children: int) -> None:
        self._binaries = binaries
        self._options = {
            "folder": str(binaries.folder), "records": None if records is None else str(records), "children": children,
        }  # fmt: skip
        self._running: dict[str, Parent] = {}
        self._missing: dict[str, NotMeasuredError | FailedError] = {}

    def _start(self, name: str) -> Parent:
        size = _size(name)
        if name.startswith(IN_C):
            command = [self._binaries.harness, str(size), self._binaries.child("exit"), str(_GUARD)]
        else:
            command = [sys.executable, "-m", "benchmarks.worker", json.dumps({**self._options, "size": size})]
        return Parent(name, command)

    def start(self, names: list[str]) -> None:
        """Start those that there is memory for, the small ones first."""
        left = _available() - _SPARE
        for name in sorted(names, key=lambda name: (_size(name), name)):
            if name == FRESH:
                continue
            left -= _size(name)
            if left < 0:
                left += _size(name)
                self._missing[name] = NotMeasuredError(f"too little memory for a parent of {name.removeprefix(IN_C)}")
                continue
            self._running[name] = self._start(name)
        for name, parent in list(self._running.items()):
            try:
                parent.await_ready()
            except FailedError as error:
                self._missing[name] = error
                self._running.pop(name).close()

    def sample(self, name: str, method: str) -> dict[str, float]:
        """One sample of METHOD from parent NAME; see :meth:`Parent.sample`."""
        if name in self._missing:
            raise self._missing[name]
        if name != FRESH:
            return self._running[name].sample(method)
        parent = self._start(name)
        try:
            parent.await_ready()
            return parent.sample(method)
        finally:
            parent.close()

    def close(self) -> None:
        """End all of them."""
        for parent in self._running.values():
            parent.close()
        self._running.clear()
