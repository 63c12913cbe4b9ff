"""Commits of other processes, as events: a client that died before it could ring has been heard all the same."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING

from raydp_wrap.errors import RaydpWrapError, StoreError
from raydp_wrap.local.watch import Watcher

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["watch_commits"]

_AGAIN = 1.0  # seconds until a store that can't be used is tried again


async def watch_commits(home: Path, call: Callable[[], None], await_writer: Callable[[], None]) -> None:
    """Call CALL after each commit to HOME's store, ours too, until cancelled; return where that can't be seen.

    Each commit writes to the log beside the store, which stays the same file while somebody has the store open. What
    was written can be seen only when it is synced, for which AWAIT_WRITER waits, in a thread.
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
        written.set()  # something may have been committed since the store was looked into
        while True:
            await written.wait()
            written.clear()
            try:
                await asyncio.to_thread(await_writer)
            except StoreError:
                await asyncio.sleep(_AGAIN)
                written.set()
            call()
