"""The files by which a JVM is asked to open the socket of its attach mechanism, and that socket."""

from __future__ import annotations

import os
import signal
import stat
from contextlib import suppress

from raydp_wrap_spark.launcher_protocol.jvm_process import Process, gone

__all__ = ["AttachFiles"]


class AttachFiles:
    """Those of the JVM that is process PID, which PIDFD stands for, and which has no such socket yet.

    A JVM opens its socket when it gets a SIGQUIT and finds a file of a certain name. To any other SIGQUIT it prints
    its threads on the application's output, so the file stays until the socket is there. The JVM takes the socket
    away when it ends by itself.

    Raises:
        OSError: there is no asking it.

    """

    def __init__(self, pid: int, pidfd: int, process: Process) -> None:
        self._pidfd, self._uid = pidfd, process.uid
        self._mark, self._socket = f".attach_pid{process.inner_pid}", f".java_pid{process.inner_pid}"
        self._marked = True
        # By descriptor, for its path ends with the process.
        self._directory = os.open(f"/proc/{pid}/root/tmp", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            flags = os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
            os.close(os.open(self._mark, flags, 0o600, dir_fd=self._directory))
            # A pid may be another's by now, a pidfd can't be: what may not be a JVM must not get this signal.
            signal.pidfd_send_signal(pidfd, signal.SIGQUIT)
        except OSError:
            self.opened()
            os.close(self._directory)
            raise

    def opened(self) -> None:
        """Take the mark away: the socket is there, or nobody will look for the mark."""
        if self._marked:
            self._marked = False
            with suppress(OSError):
                os.unlink(self._mark, dir_fd=self._directory)

    def clear(self) -> None:
        """Take away what the JVM does not need any more, and let go."""
        ended = gone(self._pidfd)
        if ended or self._has_socket():
            self.opened()
        if ended and self._has_socket():
            with suppress(OSError):
                os.unlink(self._socket, dir_fd=self._directory)
        os.close(self._directory)

    def _has_socket(self) -> bool:
        try:
            found = os.stat(self._socket, dir_fd=self._directory, follow_symlinks=False)
        except OSError:
            return False
        return stat.S_ISSOCK(found.st_mode) and found.st_uid == self._uid
