"""What a guard costs, and what it is for: a job's time under one, its memory, and a tree without an owner."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from benchmarks.children import ROOT
from raydp_wrap.model import Launch
from raydp_wrap.process import Guard, Process, cgroup

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.children import Binaries
    from benchmarks.methods import Measure

_TREE = set(b"lgsdo")  # leader, group child, session child, daemon; and the owner, once it has all of them
_NO_CGROUP = "no cgroup v2 that can be written to"
_DEADLINE = 10.0
_PR_SET_CHILD_SUBREAPER = 36


def _job(path: str, name: str, containment: str, record: Path | None) -> Measure:
    """NAME: from the start until the owner knows the end; NAME-reaped: until the guard is gone, too."""

    def measure() -> dict[str, float]:
        began = time.perf_counter_ns()
        guard = Guard.start(Launch((path,)), containment=containment, record=record)  # type: ignore[arg-type]
        end = guard.wait()
        known = time.perf_counter_ns()
        guard.close()
        gone = time.perf_counter_ns()
        if end.not_durable and record:
            raise OSError(end.not_durable, "the record is not durable")
        if record:
            os.unlink(record)
        return {name: known - began, f"{name}-reaped": gone - began}

    return measure


def _rss(path: str) -> Measure:
    """Bytes that a guard with a running job holds."""

    def measure() -> float:
        with Guard.start(Launch((path,)), containment="tree", grace=0.0) as guard:
            guard.state()  # an answer: it has settled in its loop
            with open(f"/proc/{guard.guard_pid}/status", encoding="ascii") as file:
                fields = dict(line.split(":", 1) for line in file)
        return int(fields["VmRSS"].split()[0]) * 1024

    return measure


def _adopt_orphans() -> None:
    """A guard that lost its owner becomes our child, so that a run leaves no zombie to others."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0:
        raise OSError(ctypes.get_errno(), "prctl")


def _reap_orphans() -> None:
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


def _orphan(path: str, containment: str) -> Measure:
    """SIGKILL to the owner until every process of its tree has closed the pipe that all of them hold."""

    def measure() -> float:
        read, write = os.pipe()
        owner = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.guard", containment, path], cwd=ROOT, stdin=subprocess.PIPE, stdout=write
        )
        os.close(write)
        try:
            seen: set[int] = set()
            while seen != _TREE:
                if not select.select([read], [], [], _DEADLINE)[0]:
                    raise TimeoutError("the tree did not start")
                said = os.read(read, 16)
                if not said:
                    raise OSError("the owner of the tree ended too early")
                seen.update(said)
            began = time.perf_counter_ns()
            owner.kill()
            if not select.select([read], [], [], _DEADLINE)[0]:
                raise TimeoutError(f"the tree outlived its owner by {_DEADLINE} s")
            return time.perf_counter_ns() - began
        finally:
            os.close(read)
            owner.kill()
            owner.communicate()
            _reap_orphans()

    return measure


def measures(binaries: Binaries, records: Path | None) -> dict[str, Measure | str]:
    """Name → measure, or why there is none. RECORDS is a directory on a disk."""
    _adopt_orphans()
    path = binaries.child("exit")

    def direct() -> float:
        began = time.perf_counter_ns()
        Process([path], new_session=True).wait()
        return time.perf_counter_ns() - began

    found: dict[str, Measure | str] = {
        "job-direct": direct,
        "guard-rss": _rss(binaries.child("pause")),
        "job-guard": _job(path, "job-guard", "tree", None),
        "orphan-tree": _orphan(binaries.child("tree"), "tree"),
    }
    no_disk = "no directory on a disk: name one by --record-dir"
    record = None if records is None else records / f"record-{os.getpid()}"
    found["job-guard-record"] = no_disk if record is None else _job(path, "job-guard-record", "tree", record)
    if cgroup.locate()[0] is None:
        found.update({"job-cgroup": _NO_CGROUP, "job-cgroup-record": _NO_CGROUP, "orphan-cgroup": _NO_CGROUP})
        return found
    found["job-cgroup"] = _job(path, "job-cgroup", "cgroup", None)
    found["job-cgroup-record"] = no_disk if record is None else _job(path, "job-cgroup-record", "cgroup", record)
    found["orphan-cgroup"] = _orphan(binaries.child("tree"), "cgroup")
    return found


def own() -> None:
    """The owner that is going to be killed: its stdin's end is its tester's, should that die first."""
    containment, path = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Guard.start(Launch((path,)), containment=containment):  # type: ignore[arg-type]
        os.write(1, b"o")
        sys.stdin.read()


if __name__ == "__main__":
    own()
