"""The end of the JVM under a living application: told at once, without a look at the clock."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["JvmWatch"]

_SIGNAL_BASE = 128


class JvmWatch:
    """A thread that waits for the end of the process PID, and calls DIED, once, with an exit code and a clause.

    The code is never 0, and 128+n for a signal n, as spark-submit would have it.

    Raises:
        OSError: there is no such process, or it can't be watched.

    """

    def __init__(self, pid: int, died: Callable[[int, str], None]) -> None:
        self._died = died
        self._pidfd = os.pidfd_open(pid)
        try:
            self._wake = os.eventfd(0)
        except OSError:
            os.close(self._pidfd)
            raise
        self._closing = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="raydp-wrap-jvm", daemon=True)
        self._thread.start()

    def death(self) -> tuple[int, str] | None:
        """An exit code and a clause, if the JVM has ended; None while it lives, or after :meth:`close`."""
        with self._closing:
            if self._closed or not _readable(self._pidfd):
                return None
            return _death(self._pidfd)

    def close(self) -> None:
        """Stop watching. Returns when the thread has ended, unless it is the one that calls."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
            os.eventfd_write(self._wake, 1)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        poll.poll()
        death = self.death()
        try:
            if death is not None:
                self._died(*death)
        finally:
            with self._closing:
                self._closed = True
            os.close(self._pidfd)
            os.close(self._wake)


def _readable(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))


def _death(pidfd: int) -> tuple[int, str]:
    what = "the JVM of the SparkContext"
    with contextlib.suppress(ChildProcessError):  # our parent, or somebody has asked for its status before
        # Left to be asked for by PySpark, whose child it is.
        ended = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOWAIT | os.WNOHANG)
        if ended is not None and ended.si_code == os.CLD_EXITED:
            return ended.si_status or 1, f"{what} exited with {ended.si_status} while the application ran"
        if ended is not None:
            name = signal.Signals(ended.si_status).name
            return _SIGNAL_BASE + ended.si_status, f"{what} was killed by {name} while the application ran"
    return 1, f"{what} ended while the application ran"
