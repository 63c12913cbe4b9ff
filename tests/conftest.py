"""Shared by all tests: nothing that a test starts may outlive it."""

from __future__ import annotations

import ctypes
import os
import signal
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

PR_SET_CHILD_SUBREAPER = 36

# What the tests start and lose must come back to this process, to be seen and ended by pid.
ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children(pid: int) -> list[int]:
    """The direct children of PID, by the kernel's own list."""
    found: list[int] = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
                found += [int(word) for word in file.read().split()]
    except (FileNotFoundError, ProcessLookupError):
        pass
    return found


def describe(pid: int) -> str:
    """PID with its state and command line, for a failure's message."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            state = file.read().rpartition(")")[2].split()[0]
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return f"{pid} [{state}] {file.read().replace(bytes(1), b' ').decode(errors='replace')}"
    except OSError:
        return f"{pid} (gone)"


@pytest.fixture(autouse=True)
def no_survivor() -> Iterator[None]:
    """Fail a test that leaves a descendant behind, after ending it."""
    before = set(children(os.getpid()))
    yield
    left = [pid for pid in children(os.getpid()) if pid not in before]
    described = [describe(pid) for pid in left]
    while left:
        for pid in left:
            os.kill(pid, signal.SIGKILL)  # unreaped children of ours: the pid can't be another's
            os.waitpid(pid, 0)
        left = [pid for pid in children(os.getpid()) if pid not in before]
    if described:
        pytest.fail(f"left behind: {len(described)} processes, among them {described[:5]}")
