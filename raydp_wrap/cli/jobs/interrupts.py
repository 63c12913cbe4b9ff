"""Ctrl-C while we wait for a job: it ends the waiting, and the job goes on."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["end_as_interrupted", "interruptible"]

_STATUS = 130


@contextlib.contextmanager
def interruptible(instead: Callable[[], bool] | None = None) -> Iterator[None]:
    """In here Ctrl-C raises KeyboardInterrupt, unless the user has it ignored, or INSTEAD takes care of it (True)."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        yield
        return

    def interrupted(_number: int, _frame: object) -> None:
        if instead is None or not instead():
            raise KeyboardInterrupt

    previous = signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def end_as_interrupted() -> int:
    """End by the signal, as who reads our exit wants to know it; the exit code where that can't be (process 1)."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGINT)
    return _STATUS
