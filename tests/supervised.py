"""For tests that have a background supervisor: it, and whatever it runs, is gone when they end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from typing import TYPE_CHECKING

from conftest import children
from programs.facts import DEADLINE, eventually

from raydp_wrap.errors import GuardError, SupervisorGoneError
from raydp_wrap.process import Guard
from raydp_wrap.supervisor.bell import Bell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["end", "reap", "retired", "supervisor_of", "until"]


def supervisor_of(home: Path) -> int:
    """The pid of the one that is there."""
    with Bell.connect(home) as bell:
        return bell.pid


def reap(pid: int) -> None:
    """Wait until PID, which came to us when its starter ended, is gone."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)
    eventually(lambda: not os.path.exists(f"/proc/{pid}"), f"{pid} is gone")


def end(home: Path, number: int = signal.SIGTERM) -> int:
    """End the supervisor that is there; its pid."""
    with Bell.connect(home) as bell:
        pid = bell.pid
        os.kill(pid, number)
        with contextlib.suppress(SupervisorGoneError):
            while True:
                bell.wait(20)
    reap(pid)
    return pid


@contextlib.contextmanager
def retired(home: Path) -> Iterator[None]:
    """When the block is left: HOME's supervisor has ended, if there was one, and whatever it has left running."""
    before = set(children(os.getpid()))
    try:
        yield
    finally:
        with contextlib.suppress(SupervisorGoneError):
            end(home)
        for place in (home / "jobs").glob("*") if (home / "jobs").exists() else ():
            with contextlib.suppress(GuardError, OSError), Guard.connect(place / "socket") as guard:
                guard.stop(grace=0)
                guard.wait()
                guard.done()
        # Those whose starters have ended are our children.
        eventually(lambda: not left(before), "all that it has started is gone")


async def until(holds: Callable[[], object]) -> None:
    """Wait until HOLDS, while the event loop goes on; for what gives no event."""
    deadline = time.monotonic() + DEADLINE
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.001)


def left(before: set[int]) -> list[int]:
    """Our children that are not among those BEFORE, and have not ended."""
    found = []
    for pid in set(children(os.getpid())) - before:
        with contextlib.suppress(ChildProcessError):
            if os.waitpid(pid, os.WNOHANG) == (0, 0):
                found.append(pid)
    return found
