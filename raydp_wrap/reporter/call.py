"""One call of a sink, in a process of its own: whatever it does there, it does to itself."""

from __future__ import annotations

import json
import os
import select
import signal
import warnings
from typing import TYPE_CHECKING, Any

from raydp_wrap.backend import Answer, Verdict
from raydp_wrap.process import die_with

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Call"]

_LONGEST_TEXT = 500
_LONGEST_ANSWER = 65536


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
        # Not yet reaped, so that the pid is its own.
        self._pidfd = os.pidfd_open(self._pid)

    def fileno(self) -> int:
        """Readable when the child has ended."""
        return self._pidfd

    def answer(self) -> Answer:
        """What the child answered, once :meth:`fileno` is readable. To die is no answer: that is to be tried again."""
        data = b""
        try:
            while len(data) < _LONGEST_ANSWER and (chunk := os.read(self._read, _LONGEST_ANSWER)):
                data += chunk
        except BlockingIOError:  # somebody of its making holds the other end
            pass
        status = self._reap()
        try:
            verdict, text, seconds = json.loads(data)
            return Answer(Verdict(verdict), str(text)[:_LONGEST_TEXT], seconds)
        except (ValueError, TypeError):
            died = os.waitstatus_to_exitcode(status)
            how = f"was ended by signal {-died}" if died < 0 else f"exited with {died}"
            return Answer(Verdict.RETRY_AFTER, f"the sink's process {how}, without an answer")

    def _reap(self) -> int:
        pid, self._pid = self._pid, 0
        return os.waitpid(pid, 0)[1]

    def close(self) -> None:
        """End the child, and what it started in its process group, if it still runs."""
        if self._pidfd < 0:
            return
        if self._pid:
            try:
                os.killpg(self._pid, signal.SIGKILL)
            except ProcessLookupError:  # it has not come as far as having a group
                os.kill(self._pid, signal.SIGKILL)
            # Unkillable (a dead network file system) it is left to be reaped by whoever comes after us.
            poll = select.poll()
            poll.register(self._pidfd, select.POLLIN)
            if poll.poll(1000):
                self._reap()
        os.close(self._pidfd)
        os.close(self._read)
        self._pidfd = -1


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
