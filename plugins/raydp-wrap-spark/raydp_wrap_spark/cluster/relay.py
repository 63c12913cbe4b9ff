"""A driver's stderr on its way to ours, byte for byte, and read on the way."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
from typing import TYPE_CHECKING

from raydp_wrap.errors import RaydpWrapError
from raydp_wrap.process import DEVNULL, Process

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Relay"]

# A pipe that is ready takes this much without blocking, so that the thread can always be told to leave.
_PIECE = select.PIPE_BUF
_JOIN = 1.0
# They end when the reader has read, or has gone; held so that they are reaped.
_successors: list[Process] = []


class Relay:
    """Copies from a pipe to TARGET in a thread of its own, and shows each piece to SEE, in that thread.

    ``write_end`` is for the driver. Nothing is held back: what is read is written at once, and where TARGET's
    reader makes no room, nothing more is read, so that the driver waits for it as it would without us. Where
    nobody reads TARGET any more, the driver's words are dropped, as Java would.
    """

    def __init__(self, target: int, see: Callable[[bytes], None]) -> None:
        self._target = target
        self._see = see
        self._dropping = False
        self._done = False
        self._last_call = False
        self._leaving = False
        self._read_end, self.write_end = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._read_end, False)
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._thread = threading.Thread(target=self._run, name="raydp-wrap-stderr", daemon=True)
        # Signals are for the threads that wait for them. A thread is born with its maker's mask.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            self._thread.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def started(self) -> None:
        """Let go of the driver's end, which it has. Called at most once."""
        if self.write_end >= 0:
            os.close(self.write_end)
            self.write_end = -1

    def finish(self, seconds: float) -> bool:
        """Copy what is left, nobody writing any more; whether that was done within SECONDS.

        Others than the driver may hold its end, so the pipe's own end is not waited for.
        """
        self._last_call = True
        os.eventfd_write(self._wake, 1)
        self._thread.join(seconds)
        return self._done

    def close(self) -> None:
        """Let go of everything. Called once, last.

        What a reader has not made room for goes to it from another process: it must not be lost, and we don't
        wait.
        """
        self.started()
        self._leaving = True
        os.eventfd_write(self._wake, 1)
        self._thread.join(_JOIN)
        if self._thread.is_alive():
            return  # in the middle of a write, with our descriptors: they end with us
        if not self._done and self._last_call:
            _successors[:] = [process for process in _successors if process.poll() is None]
            os.set_blocking(self._read_end, True)
            with contextlib.suppress(RaydpWrapError):
                _successors.append(
                    Process(["cat"], stdin=self._read_end, stdout=self._target, stderr=DEVNULL, new_session=True)
                )
        os.close(self._read_end)
        os.close(self._wake)

    def _run(self) -> None:
        while self._wait_for_words() and self._wait_for_room():
            try:
                piece = os.read(self._read_end, _PIECE)
            except BlockingIOError:
                continue
            if not piece:
                self._done = True
                return
            with contextlib.suppress(Exception):  # who listens in must not stop the words
                self._see(piece)
            self._write(piece)

    def _wait_for_words(self) -> bool:
        """Wait until there is something to copy; False: nothing more comes, or we have to leave."""
        poll = select.poll()
        poll.register(self._read_end, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        while not self._leaving:
            ready = [fd for fd, _ in poll.poll(0 if self._last_call else None)]
            if self._read_end in ready:
                return True
            if self._last_call:
                self._done = True
                return False
            self._awake()
        return False

    def _wait_for_room(self) -> bool:
        poll = select.poll()
        poll.register(self._target, select.POLLOUT)
        poll.register(self._wake, select.POLLIN)
        while not (self._leaving or self._dropping):
            if any(fd == self._target for fd, _ in poll.poll()):
                return True
            self._awake()
        return self._dropping and not self._leaving

    def _awake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake)

    def _write(self, piece: bytes) -> None:
        while piece and not self._dropping:
            try:
                piece = piece[os.write(self._target, piece) :]
            except BlockingIOError:  # somebody made the target non-blocking
                poll = select.poll()
                poll.register(self._target, select.POLLOUT)
                poll.poll()
            except OSError:
                self._dropping = True
