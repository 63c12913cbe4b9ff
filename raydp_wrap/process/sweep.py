"""After a guard's death: end what it can no longer hold, found by the mark it left in their environment."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

MARK = "RAYDP_WRAP_ATTEMPT_ID"

_EXEC_PAUSE = 0.005  # while a process executes a program its environment can't be read, for some microseconds
_ROUNDS = 1000
_QUIET_ROUNDS = 3
_LOOKS = 100


def _pidfd_if_marked(pid: int, mark: bytes) -> int | None:
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return None
    # Read after the pidfd was opened: were the pid given to another since, this reads the other's.
    try:
        with open(f"/proc/{pid}/environ", "rb", buffering=0) as file:
            if mark in b"\0" + file.readall():
                return pidfd
    except OSError:
        pass
    os.close(pidfd)
    return None


def _marked(mark: bytes, spare: frozenset[int]) -> list[int]:
    """Pidfds of the processes whose environment holds MARK."""
    pids = sorted((int(name) for name in os.listdir("/proc") if name.isdigit()), reverse=True)
    found = (_pidfd_if_marked(pid, mark) for pid in pids if pid not in spare)
    return [pidfd for pidfd in found if pidfd is not None]


def _newest(mark: bytes, spare: frozenset[int]) -> list[int]:
    """The same of the process started last: a chain of quick forks outruns every walk of /proc."""
    last = 0
    with contextlib.suppress(OSError), open("/proc/loadavg", "rb", buffering=0) as file:
        for _ in range(_LOOKS):
            pid = int(os.pread(file.fileno(), 256, 0).split()[-1])
            if pid == last or pid in spare:
                continue
            last = pid
            pidfd = _pidfd_if_marked(pid, mark)
            if pidfd is not None:
                return [pidfd]
    return []


def sweep(identity: str, timeout: float = 5.0, spare: Collection[int] = ()) -> tuple[int, bool]:
    """SIGKILL every process that carries IDENTITY's mark, but SPARE; (how many, whether none was left to be seen).

    A process that cleared its environment is not found, and one that forks and exits more quickly than it is
    looked for may not be: the second value is no proof of an empty tree.
    """
    mark = f"\0{MARK}={identity}\0".encode()
    spared = frozenset((os.getpid(), *spare))
    deadline = time.monotonic() + timeout
    ended = quiet = 0
    for _ in range(_ROUNDS):
        found = _newest(mark, spared) or _marked(mark, spared)
        quiet = 0 if found else quiet + 1
        if quiet == _QUIET_ROUNDS:
            return ended, True
        if quiet:
            time.sleep(_EXEC_PAUSE)
        waiting = select.poll()
        for pidfd in found:
            try:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                ended += 1
            except OSError:
                pass
            waiting.register(pidfd, select.POLLIN)
        left = set(found)
        while left and time.monotonic() < deadline:
            for pidfd, _event in waiting.poll(max(0.0, deadline - time.monotonic()) * 1000):
                waiting.unregister(pidfd)
                left.discard(pidfd)
        for pidfd in found:
            os.close(pidfd)
        if left or time.monotonic() >= deadline:
            break
    return ended, False


def is_held(identity: str) -> bool:
    """Whether a process that carries IDENTITY's mark has a guard above it: the job runs.

    A guard's own environment can't always be read, its name can; what a dead guard left has init above it.
    """
    mark = f"\0{MARK}={identity}\0".encode()
    for pidfd in _marked(mark, frozenset((os.getpid(),))):
        try:
            pid = _pid_of(pidfd)
        finally:
            os.close(pidfd)
        while pid > 1:
            name, pid = _name_and_parent(pid)
            if name == b"raydp-guard":
                return True
    return False


def _pid_of(pidfd: int) -> int:
    with open(f"/proc/self/fdinfo/{pidfd}", encoding="ascii") as file:
        return next((int(line.split()[1]) for line in file if line.startswith("Pid:")), 0)


def _name_and_parent(pid: int) -> tuple[bytes, int]:
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            head, _, rest = file.read(4096).rpartition(b")")
    except OSError:
        return b"", 0
    return head.partition(b"(")[2], int(rest.split()[1])
