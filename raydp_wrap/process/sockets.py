"""Unix sockets between this program and its workers: readiness without polling, and socket activation."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from raydp_wrap._native import ffi, lib
from raydp_wrap.errors import UsageError, WaitTimeoutError, WorkerDiedError
from raydp_wrap.process import _core
from raydp_wrap.process.private import private_directory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from typing_extensions import Self

    from raydp_wrap.process.spawn import Process

__all__ = ["Peer", "SocketDirectory", "peer", "private_directory"]

_LONGEST_PATH = 107  # sun_path is 108 bytes, and ends with NUL


class Peer(NamedTuple):
    """The process at the other end of a Unix socket, by the kernel's word, as it was when it connected."""

    pid: int
    uid: int
    gid: int


def peer(fd: int) -> Peer:
    """Who is at the other end of the connected Unix socket FD.

    Raises:
        OSError: FD is not such a socket.

    """
    found = ffi.new("rd_peer *")
    _core.check(lib.rd_uds_peer(fd, found))
    return Peer(found.pid, found.uid, found.gid)


class SocketDirectory:
    """The private directory PATH (created if missing) in which workers' sockets stand; a context manager.

    May be used from any number of threads at once.

    Raises:
        UsageError: PATH can't be private; see :func:`private_directory`.

    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        missing = not os.path.lexists(path)
        self.directory: Path = private_directory(path)
        self._created = missing
        self._closed = False
        self._lock = threading.Lock()
        # Closing an inotify descriptor can take 20 ms, so they are kept; and two waiters on one would
        # eat each other's events, so each has its own.
        self._idle: list[int] = []

    def path(self, name: str) -> Path:
        """Where the socket NAME stands.

        Raises:
            UsageError: NAME is no plain name, or the whole path is longer than a socket's can be.

        """
        if self._closed:
            raise UsageError(f"{self.directory} has been closed: open it again.")
        if not name or name in (".", "..") or "/" in name or "\0" in name:
            raise UsageError(f"{name!r} can't be a socket's name: give one without '/' and NUL.")
        path = self.directory / name
        length = len(os.fsencode(path))
        if length > _LONGEST_PATH:
            raise UsageError(
                f"the socket path {path} has {length} bytes, {_LONGEST_PATH} is the most:"
                " use a shorter directory or name."
            )
        return path

    @contextlib.contextmanager
    def _watch(self) -> Iterator[int]:
        with self._lock:
            watch = self._idle.pop() if self._idle else -1
        if watch < 0:
            watch = _core.check(lib.rd_watch_dir(os.fsencode(self.directory)))
        try:
            yield watch
        finally:
            with self._lock:
                keep = not self._closed
                if keep:
                    self._idle.append(watch)
            if not keep:
                os.close(watch)

    def wait(self, name: str, process: Process, timeout: float | None = None) -> socket.socket:
        """Wait until PROCESS accepts connections at NAME; a connected, blocking stream socket.

        Raises:
            WorkerDiedError: the process ended first; told at once.
            WaitTimeoutError: neither happened within TIMEOUT seconds.
            OSError: something stands at NAME that can't be connected to.

        """
        path = os.fsencode(self.path(name))
        deadline = None if timeout is None else time.monotonic() + timeout
        left = timeout
        worker = process._borrow()  # noqa: SLF001 - kept open, whoever reaps meanwhile
        if worker is None:
            raise WorkerDiedError(f"worker {process.pid} has ended: nothing will accept at {name}")
        try:
            with self._watch() as watch:
                while (ret := lib.rd_uds_wait(watch, path, worker, _core.to_ns(left))) == -errno.EINTR:
                    if deadline is not None:
                        left = max(0.0, deadline - time.monotonic())
        finally:
            process._give_back()  # noqa: SLF001
        if ret == -errno.ECHILD:
            raise WorkerDiedError(f"worker {process.pid} ended ({process.poll()}) before it accepted at {name}")
        if ret == -errno.ETIMEDOUT:
            raise WaitTimeoutError(f"worker {process.pid} does not accept at {name} after {timeout} s")
        connected = socket.socket(fileno=_core.check(ret))
        connected.settimeout(None)
        return connected

    def listen(self, name: str, backlog: int = 128) -> int:
        """Listen at NAME on a worker's behalf; the descriptor, to be passed as ``Process(listen_fds=[fd])``.

        Clients can connect from now on, and wait until the worker accepts. The caller closes it.

        Raises:
            OSError: the name is taken, or the directory is gone.

        """
        return _core.check(lib.rd_uds_listen(os.fsencode(self.path(name)), backlog, socket.SOCK_STREAM))

    def close(self) -> None:
        """Forget the directory; one that was created here goes, with its sockets, unless it holds other files."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            idle, self._idle = self._idle, []
        for watch in idle:
            os.close(watch)
        if self._created:
            with contextlib.suppress(OSError):
                for entry in os.scandir(self.directory):
                    if stat.S_ISSOCK(entry.stat(follow_symlinks=False).st_mode):
                        os.unlink(entry.path)
                self.directory.rmdir()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
