"""The standard streams, which are the command's."""

from __future__ import annotations

import os
import stat

__all__ = ["ErrorOutput", "hand_over", "open_streams"]

_STANDARD = 2


def open_streams() -> None:
    """Have 0-2 open: whatever is opened next would land there, and be taken for a stream."""
    while True:
        fd = os.open(os.devnull, os.O_RDWR)
        if fd > _STANDARD:
            os.close(fd)
            return
        os.set_inheritable(fd, True)  # noqa: FBT003 - positional only


def hand_over(fds: tuple[int, ...]) -> None:
    """Make ours of FDS /dev/null."""
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for fd in fds:
        os.dup2(null, fd)
    os.close(null)


class ErrorOutput:
    """What goes to stderr from now on, where that is a regular file: its last lines can be read back.

    A pipe or a terminal can't be read without standing between it and the command.
    """

    def __init__(self) -> None:
        self._start = -1
        try:
            found = os.fstat(_STANDARD)
            if stat.S_ISREG(found.st_mode):
                appending = _appends(_STANDARD)
                self._start = found.st_size if appending else os.lseek(_STANDARD, 0, os.SEEK_CUR)
        except OSError:
            return

    def summary(self) -> str:
        """Its end, as lines for the diagnostics; "" where there is nothing to read."""
        if self._start < 0:
            return ""
        from raydp_wrap.diagnostics import summary, tail  # noqa: PLC0415 - a success needs none

        return summary(tail(_STANDARD, self._start))


def _appends(fd: int) -> bool:
    import fcntl  # noqa: PLC0415 - only where stderr is a file

    return bool(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_APPEND)
