"""Commits of other processes, as events: a client that died before it could ring has been heard all the same."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from raydp_wrap.errors import RaydpWrapError
from raydp_wrap.local.watch import Watcher

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["watch_commits"]


async def watch_commits(home: Path, call: Callable[[], None]) -> None:
    """Call CALL after each commit to HOME's store, ours too, until cancelled; return where that can't be seen.

    Each commit writes to the log beside the store, which stays the same file while somebody has the store open.
    """
    try:
        # O_PATH: closing any other descriptor of SQLite's files drops its locks.
        fd = os.open(home / "store.db-wal", os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, fd)
        try:
            written = stack.enter_context(Watcher().watch(fd))
        except RaydpWrapError:
            return
        while True:
            await written.wait()
            written.clear()
            call()
