"""What processes cost, as the kernel counts it."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class Spent:
    """Seconds on a processor, and how often one was given up to wait."""

    cpu: float
    switches: int

    def since(self, before: Spent) -> Spent:
        return Spent(self.cpu - before.cpu, self.switches - before.switches)


def memory(pid: int, what: str = "Pss") -> int:
    """Bytes of PID: its proportional set (what is shared counts for each with its part), or another of its sums."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(f"{what}:"))


def spent(pids: Iterable[int]) -> Spent:
    """What all threads of PIDS have taken together."""
    cpu = switches = 0
    for pid in pids:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as file:
                cpu += int(file.read().split()[0])
            with open(f"/proc/{pid}/task/{thread}/status", encoding="utf-8", errors="replace") as file:
                switches += next(int(line.split()[1]) for line in file if line.startswith("voluntary_ctxt_switches:"))
    return Spent(cpu / 1e9, switches)


def running(program: str) -> list[int]:
    """The pids of those that execute PROGRAM."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{name}/exe") == program:
                found.append(int(name))
    return found


def parent(pid: int) -> int:
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        return int(file.read().rpartition(")")[2].split()[1])


def tree(pid: int) -> list[int]:
    """PID's descendants."""
    parents: dict[int, list[int]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            parents.setdefault(parent(int(name)), []).append(int(name))
    found, todo = [], [pid]
    while todo:
        children = parents.get(todo.pop(), [])
        found += children
        todo += children
    return found
