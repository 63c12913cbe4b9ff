"""SQLite does not survive a fork: what a child inherits is neither used, nor closed, nor opened a second time."""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from typing import Any, Protocol

__all__ = ["closed", "inherited", "opened", "opening"]


class _Open(Protocol):
    file: tuple[int, int]

    def abandon(self) -> list[Any]:
        """In the child: give up the connections, without a touch."""


_open: weakref.WeakSet[_Open] = weakref.WeakSet()
_hooked = False
_inherited_files: set[tuple[int, int]] = set()
_inherited_connections: list[Any] = []

#: Held while a file is made or opened: its descriptor's closing would drop the locks of a connection to it.
opening = threading.Lock()


def opened(store: _Open) -> None:
    """STORE has connections from now on. Called with :data:`opening` held."""
    global _hooked  # noqa: PLW0603 - a fork handler can't be taken back, so it is set up at the first need
    if not _hooked:
        os.register_at_fork(after_in_child=_after_fork)
        _hooked = True
    _open.add(store)


def closed(store: _Open) -> None:
    """STORE has none any more."""
    _open.discard(store)


def inherited(file: tuple[int, int]) -> bool:
    """Whether FILE (device, inode) was open in the process that this one was forked from."""
    return file in _inherited_files


def _after_fork() -> None:
    global opening  # noqa: PLW0603 - another thread may have held it, which is not here to let go
    opening = threading.Lock()
    stores = list(_open)
    _open.clear()
    for store in stores:
        _inherited_files.add(store.file)
        _inherited_connections.extend(store.abandon())
    if stores:
        atexit.register(_keep_for_ever)


def _keep_for_ever() -> None:
    """Keep the interpreter's end from closing what is the parent's.

    A transaction would be rolled back in memory that is shared, and a lock that another thread held waited for.
    """
    import ctypes  # noqa: PLC0415 - most children end by _exit or exec, and never come here

    import apsw  # noqa: PLC0415 - the parent has loaded it

    # The module, too: as it goes, it closes all connections there are.
    for kept in (apsw, *_inherited_connections):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))
