"""After a guard's death: end what it can no longer hold, found by the mark it left in their environment."""

from __future__ import annotations

import os
import select
import signal
import time

MARK = "RAYDP_WRAP_ATTEMPT_ID"

_ROUNDS = 100


def _marked(mark: bytes, own: int) -> list[int]:
    """Pidfds of the processes whose environment holds MARK."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == own:
            continue
        try:
            pidfd = os.pidfd_open(int(name))
        except OSError:
            continue
        # Read after the pidfd was opened: were the pid given to another since, this reads the other's.
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                is_ours = mark in b"\0" + file.read()
        except OSError:
            is_ours = False
        if is_ours:
            found.append(pidfd)
        else:
            os.close(pidfd)
    return found


def sweep(identity: str, timeout: float = 5.0) -> tuple[int, bool]:
    """SIGKILL every process that carries IDENTITY's mark; (how many, whether none was left to be seen).

    A process that cleared its environment is not found: the second value is no proof of an empty tree.
    """
    mark = f"\0{MARK}={identity}\0".encode()
    deadline = time.monotonic() + timeout
    ended = 0
    for _ in range(_ROUNDS):
        found = _marked(mark, os.getpid())
        if not found:
            return ended, True
        for pidfd in found:
            try:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                ended += 1
            except OSError:
                pass
        waiting = select.poll()
        for pidfd in found:
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
