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
import termios

__all__ = ["Terminal"]


class Terminal:
    """Our controlling terminal, if there is one."""

    def __init__(self) -> None:
        try:
            self._fd = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError:  # none: a service, cron, a container
            self._fd = -1
        self._was_foreground = self._foreground() == os.getpgrp()
        self._modes: list[object] | None = None
        if self._was_foreground:
            with contextlib.suppress(termios.error):
                self._modes = termios.tcgetattr(self._fd)

    @property
    def exists(self) -> bool:
        """Whether there is a controlling terminal."""
        return self._fd >= 0

    def _foreground(self) -> int:
        """The terminal's foreground group, -1 if there is no telling."""
        try:
            return os.tcgetpgrp(self._fd) if self._fd >= 0 else -1
        except OSError:  # hung up
            return -1

    def restore(self, *, modes: bool = False) -> None:
        """Take the foreground back, if it was ours and the job left it with a group that is gone.

        A group that lives is the shell's, after Ctrl-Z and ``bg``: it keeps what it has. With MODES, echo and
        line editing become what they were: a shell sees to that only for a child that a signal ended, and we
        are about to exit with a code for one.
        """
        if self._fd < 0:
            return
        if self._was_foreground and self._is_gone(self._foreground()):
            # A background group that calls tcsetpgrp is stopped by SIGTTOU, unless it blocks it.
            old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
            with contextlib.suppress(OSError):
                os.tcsetpgrp(self._fd, os.getpgrp())
            signal.pthread_sigmask(signal.SIG_SETMASK, old)
        if modes and self._modes is not None and self._foreground() == os.getpgrp():
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self._fd, termios.TCSANOW, self._modes)  # type: ignore[arg-type]
        os.close(self._fd)
        self._fd = -1

    @staticmethod
    def _is_gone(group: int) -> bool:
        if group <= 0:
            return False
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        except OSError:
            return False
        return False
