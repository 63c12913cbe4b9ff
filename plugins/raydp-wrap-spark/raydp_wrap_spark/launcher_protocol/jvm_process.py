"""What the kernel says of a JVM's process and its threads."""

from __future__ import annotations

import os
import re
import select
import signal
from dataclasses import dataclass
from typing import Final

__all__ = ["Process", "gone", "process", "system_calls"]

_FIELD: Final = re.compile(r"^(\w+):\s+(.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Process:
    """Its number in its own namespace, its effective user, and whether it catches SIGQUIT."""

    inner_pid: int
    uid: int
    catches_quit: bool


def process(pid: int) -> Process:
    """Process PID. Raises OSError or ValueError where nothing can be learnt of it."""
    fields = dict(_FIELD.findall(_read(f"/proc/{pid}/status")))
    inner = int(fields.get("NSpid", str(pid)).split()[-1])
    caught = bool(int(fields["SigCgt"], 16) >> (signal.SIGQUIT - 1) & 1)
    return Process(inner, int(fields["Uid"].split()[1]), caught)


def gone(pidfd: int) -> bool:
    """Whether the process of PIDFD has ended."""
    return bool(select.select([pidfd], [], [], 0)[0])


def system_calls(pid: int) -> dict[int, int]:
    """How often each thread of process PID has read and written, by the thread's number in the process's namespace.

    Empty where that can't be told.
    """
    found: dict[int, int] = {}
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return found
    for task in tasks:
        try:
            io = dict(_FIELD.findall(_read(f"/proc/{pid}/task/{task}/io")))
            status = dict(_FIELD.findall(_read(f"/proc/{pid}/task/{task}/status")))
        except OSError:
            continue  # ended meanwhile, or not ours to look at
        found[int(status.get("NSpid", task).split()[-1])] = int(io.get("syscr", 0)) + int(io.get("syscw", 0))
    return found


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()
