"""Signals sent to this process, as readable events with their sender."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

from raydp_wrap._native import ffi, lib
from raydp_wrap.process import _core

if TYPE_CHECKING:
    from collections.abc import Iterable

    from typing_extensions import Self

_SI_KERNEL = 0x80


@dataclass(frozen=True, slots=True)
class Received:
    """A signal and who sent it; ``from_terminal``: the kernel, to the whole foreground group."""

    signal: int
    pid: int
    uid: int
    from_terminal: bool


class IncomingSignals:
    """Blocks NUMBERS in this thread and reads them from a descriptor instead, until closed.

    For the main thread of a program that starts no others before: a signal may be taken by any thread
    that doesn't block it.
    """

    def __init__(self, numbers: Iterable[int]) -> None:
        mask = 0
        for number in numbers:
            mask |= 1 << (number - 1)
        self._before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        self._fd = _core.check(lib.rd_signal_open(mask))
        self._info = ffi.new("rd_siginfo *")

    def fileno(self) -> int:
        """Readable when a signal is pending."""
        return self._fd

    def read(self) -> Received | None:
        """The next pending signal, or None."""
        if not _core.check(lib.rd_signal_read(self._fd, self._info)):
            return None
        info = self._info
        return Received(info.signal, info.pid, info.uid, info.code == _SI_KERNEL)

    def close(self) -> None:
        """Restore the mask; a signal that is still pending then takes its usual course."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            signal.pthread_sigmask(signal.SIG_SETMASK, self._before)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
