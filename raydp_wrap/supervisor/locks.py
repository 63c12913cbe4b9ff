"""Who supervises a home, and who is starting somebody to: locks that the kernel frees when their holders die."""

from __future__ import annotations

import fcntl
import os
import threading
from typing import TYPE_CHECKING

from raydp_wrap.errors import SupervisorError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["GATE", "LIFE", "lock"]

#: Held by the process that supervises, for as long as it does.
LIFE = "supervisor.lock"
#: Held while somebody is started; handed on to who is started, until that one listens.
GATE = "supervisor.gate"

_OPEN = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


def lock(home: Path, name: str, patience: float | None = None) -> int:
    """Take the lock NAME of HOME; the descriptor that holds it. PATIENCE is in seconds, None for ever.

    Raises:
        SupervisorError: another process holds it, and does so after PATIENCE seconds, too.

    """
    try:
        fd = os.open(home / name, _OPEN, 0o600)
    except OSError as error:
        raise SupervisorError(f"{home / name} can't be used: {error.strerror}.") from error
    try:
        if patience is None:
            fcntl.flock(fd, fcntl.LOCK_EX)
            return fd
        if _had(fd) or (patience > 0 and _waited(os.dup(fd), patience)):
            return fd
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    raise SupervisorError(f"another process holds {home / name}: see who that is.")


def _had(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _waited(copy: int, patience: float) -> bool:
    """Wait for the lock of the open file COPY. In a thread: the kernel has no such call with a time limit."""
    mine = threading.Lock()
    had = threading.Event()
    given_up = False

    def wait() -> None:
        try:
            fcntl.flock(copy, fcntl.LOCK_EX)
            with mine:
                if given_up:
                    fcntl.flock(copy, fcntl.LOCK_UN)
                had.set()
        finally:
            os.close(copy)

    threading.Thread(target=wait, name="raydp-wrap lock", daemon=True).start()
    try:
        return had.wait(patience)
    finally:
        with mine:
            given_up = not had.is_set()
