"""The controlling terminal of a foreground run.

With a terminal, the driver stays in our process group: it is in the foreground exactly when we are, so
Ctrl-C, Ctrl-Z, ``fg``, a pipeline's other members and the window's size work as if it had been called
directly, and there is nothing to hand over. (A group of its own would have to be made the foreground one,
and ``raydp-wrap run … | less`` would stop ``less``.) The guard has a group of its own, out of the
terminal's reach. What a job may leave behind is a foreground group of *its* making: that is taken back.
"""

from __future__ import annotations

import contextlib
import os
import signal

__all__ = ["Terminal"]


class Terminal:
    """Our controlling terminal, if there is one."""

    def __init__(self) -> None:
        try:
            self._fd = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError:  # none: a service, cron, a container
            self._fd = -1
        self._was_foreground = self._is_foreground()

    @property
    def exists(self) -> bool:
        """Whether there is a controlling terminal."""
        return self._fd >= 0

    def _is_foreground(self) -> bool:
        if self._fd < 0:
            return False
        try:
            return os.tcgetpgrp(self._fd) == os.getpgrp()
        except OSError:  # hung up
            return False

    def restore(self) -> None:
        """Take the foreground back, if it was ours and the job left it with a group that is gone."""
        if self._fd < 0:
            return
        if self._was_foreground and not self._is_foreground():
            # A background group that calls tcsetpgrp is stopped by SIGTTOU, unless it blocks it.
            old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
            with contextlib.suppress(OSError):
                os.tcsetpgrp(self._fd, os.getpgrp())
            signal.pthread_sigmask(signal.SIG_SETMASK, old)
        os.close(self._fd)
        self._fd = -1
