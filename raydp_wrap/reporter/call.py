"""One call of a sink, in a process of its own: whatever it does there, it does to itself."""

from __future__ import annotations

import json
import math
import os
import select
import signal
import time
import warnings
from typing import TYPE_CHECKING, Any

from raydp_wrap.backend import Answer, Verdict
from raydp_wrap.process import die_with

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Call"]

_LONGEST_TEXT = 500
_LONGEST_ANSWER = 65536
_END = 1.0  # seconds from its last word, or a SIGKILL, to its end
_LOOK = 0.001


class Call:
    """A forked child that calls FUNCTION, which returns an :class:`Answer`. To be closed, which ends it."""

    def __init__(self, function: Callable[[], Answer]) -> None:
        parent = os.getpid()
        self._read, write = os.pipe()
        try:
            with warnings.catch_warnings():
                # Python 3.12 warns of threads at a fork: a child that meets a lock of theirs is ended in time.
                warnings.simplefilter("ignore", DeprecationWarning)
                self._pid = os.fork()
        except BaseException:
            os.close(self._read)
            os.close(write)
            raise
        if not self._pid:
            _child(function, write, parent)
        os.close(write)
        os.set_blocking(self._read, False)
        try:
            # Not yet reaped, so that the pid is its own.
            self._pidfd: int | None = os.pidfd_open(self._pid)
        except OSError:
            # A sandbox forbids it, or there is no descriptor left: its answer, or the pipe's end, has to do.
            self._pidfd = None
        self._closed = False

    def fileno(self) -> int:
        """Readable when the child has ended, or (where there is no pidfd) has nothing more to do than that.

        A child of its own that holds the pipe keeps the second from being seen until the caller's time is up.
        """
        return self._read if self._pidfd is None else self._pidfd

    def answer(self) -> Answer:
        """What the child answered, once :meth:`fileno` is readable. To die is no answer: that is to be tried again."""
        data = b""
        try:
            while len(data) < _LONGEST_ANSWER and (chunk := os.read(self._read, _LONGEST_ANSWER)):
                data += chunk
        except BlockingIOError:  # somebody of its making holds the other end
            pass
        if self._pidfd is None:
            # It has only its end before it. One that closed the pipe, and goes on, can't answer any more.
            os.kill(self._pid, signal.SIGKILL)
        status = self._reap()
        try:
            verdict, text, seconds = json.loads(data)
            return Answer(Verdict(verdict), str(text)[:_LONGEST_TEXT], _seconds(seconds))
        except (ValueError, TypeError):
            return Answer(Verdict.RETRY_AFTER, f"the sink's process {_how(status)}, without an answer")

    def _reap(self) -> int | None:
        """Its wait status, if it ends within a second.

        An unkillable one (a dead network file system) is left to be reaped by whoever comes after us.
        """
        if self._pidfd is not None:
            poll = select.poll()
            poll.register(self._pidfd, select.POLLIN)
            poll.poll(_END * 1000)
        end = time.monotonic() + _END
        while True:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                self._pid = 0
                return status
            if self._pidfd is not None or time.monotonic() >= end:
                return None
            time.sleep(_LOOK)  # no event to be had: it is about to end

    def close(self) -> None:
        """End the child, and what it started in its process group, if it still runs."""
        if self._closed:
            return
        self._closed = True
        if self._pid:
            try:
                os.killpg(self._pid, signal.SIGKILL)
            except ProcessLookupError:  # it has not come as far as having a group
                os.kill(self._pid, signal.SIGKILL)
            self._reap()
        if self._pidfd is not None:
            os.close(self._pidfd)
        os.close(self._read)


def _how(status: int | None) -> str:
    if status is None:
        return "does not end"
    died = os.waitstatus_to_exitcode(status)
    return f"was ended by signal {-died}" if died < 0 else f"exited with {died}"


def _seconds(wished: float | None) -> float | None:
    """WISHED if that can be waited for."""
    return wished if wished is not None and math.isfinite(wished) and wished >= 0 else None


def _child(function: Callable[[], Answer], write: int, parent: int) -> Any:
    """Never returns."""
    status = 1
    try:
        os.setpgid(0, 0)
        die_with(parent)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(2, 1)  # stdout is the command's
        answer = function()
        seconds = None if answer.seconds is None else float(answer.seconds)
        message = (Verdict(answer.verdict).value, str(answer.text)[:_LONGEST_TEXT], seconds)
        status = 0
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is this sink's
        text = str(error) or type(error).__name__
        message = (Verdict.RETRY_AFTER.value, f"{type(error).__name__}: {text}"[:_LONGEST_TEXT], None)
    try:
        os.write(write, json.dumps(message).encode())
    finally:
        os._exit(status)
