"""Signals at a time of our choosing: SIGUSR1 from a POSIX timer.

setitimer and SIGALRM are pytest-timeout's. A test that takes them has no limit any more: should it hang, it hangs
for ever.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NUMBER = signal.SIGUSR1

_CLOCK_MONOTONIC = 1
_NS = 1_000_000_000


class _Event(ctypes.Structure):
    _fields_ = (
        ("value", ctypes.c_void_p),
        ("signal", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("rest", ctypes.c_int * 12),
    )


class _Times(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_long) for name in ("every", "every_ns", "first", "first_ns"))


def _library() -> ctypes.CDLL:
    found = ctypes.CDLL(None, use_errno=True)
    return found if hasattr(found, "timer_create") else ctypes.CDLL("librt.so.1", use_errno=True)


class Timer:
    """Sends SIGUSR1 to this process FIRST seconds after :meth:`set`, and then EVERY so many; 0 is never."""

    def __init__(self) -> None:
        self._rt = _library()
        self._id = ctypes.c_void_p()
        event = _Event(signal=NUMBER)
        self._check(self._rt.timer_create(_CLOCK_MONOTONIC, ctypes.byref(event), ctypes.byref(self._id)))

    def _check(self, ret: int) -> None:
        if ret:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def set(self, first: float, every: float = 0.0) -> None:
        times = _Times(*divmod(int(every * _NS), _NS), *divmod(int(first * _NS), _NS))
        self._check(self._rt.timer_settime(self._id, 0, ctypes.byref(times), None))

    def close(self) -> None:
        self._check(self._rt.timer_delete(self._id))


@contextlib.contextmanager
def alarms(handler: Callable[[], object], first: float = 0.0, every: float = 0.0) -> Iterator[Timer]:
    """What the timer's signal does; the timer itself, to be set again."""
    before = signal.signal(NUMBER, lambda *_: handler())
    timer = Timer()
    try:
        timer.set(first, every)
        yield timer
    finally:
        timer.close()
        signal.signal(NUMBER, before)
