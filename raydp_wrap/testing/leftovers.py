"""What a test starts and loses: it comes back to this process, to be seen and ended."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["leftovers"]

_PR_SET_CHILD_SUBREAPER = 36
_PR_GET_CHILD_SUBREAPER = 37


@contextlib.contextmanager
def leftovers(patience: float | None = None) -> Iterator[list[str]]:
    """After the block the list names each new descendant that was still there; they are ended.

    With PATIENCE they have that many seconds to end by themselves, and dead ones don't count; without, a zombie
    counts too. Nobody else may reap this process's children meanwhile.
    """
    import ctypes  # noqa: PLC0415 - only here

    libc = ctypes.CDLL(None, use_errno=True)
    was = ctypes.c_int()
    libc.prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(was), 0, 0, 0)
    # Orphans of ours come to us then, not to init, where nobody would know them.
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    before = _children()
    found: list[str] = []
    try:
        yield found
        if patience is not None:
            _reap(before, time.monotonic() + patience)
        found += [_described(pid) for pid in sorted(_children() - before)]
        while left := _children() - before:  # what is killed hands its own children to us
            for pid in left:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
    finally:
        libc.prctl(_PR_SET_CHILD_SUBREAPER, was.value, 0, 0, 0)


def _children() -> set[int]:
    found: set[int] = set()
    for task in os.listdir("/proc/self/task"):
        with (
            contextlib.suppress(FileNotFoundError, ProcessLookupError),
            open(f"/proc/self/task/{task}/children", encoding="ascii") as file,
        ):
            found.update(map(int, file.read().split()))
    return found


def _reap(before: set[int], deadline: float) -> None:
    """Reap whoever is new, and what those hand to us, as they end."""
    while new := _children() - before:
        for pid in new:
            pidfd = os.pidfd_open(pid)
            try:
                poll = select.poll()
                poll.register(pidfd, select.POLLIN)
                if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                    return
            finally:
                os.close(pidfd)
            os.waitpid(pid, 0)


def _described(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            command = file.read().replace(bytes(1), b" ").decode(errors="replace").strip()
            return f"{pid} ({command or 'a zombie, or just begun'})"
    except OSError:
        return str(pid)
