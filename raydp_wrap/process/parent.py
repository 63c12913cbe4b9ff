"""A forked child that lives no longer than its parent."""

from __future__ import annotations

import signal

from raydp_wrap._native import lib
from raydp_wrap.process import _core

__all__ = ["die_with"]


def die_with(parent: int) -> None:
    """Have the kernel end this process by SIGKILL when the thread of PARENT that forked it ends.

    Raises:
        ProcessLookupError: it has ended already.

    """
    _core.check(lib.rd_die_with(parent, int(signal.SIGKILL)))
