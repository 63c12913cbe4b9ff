"""Whatever SQLite and the kernel say against us, as one sentence that says what to do."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from raydp_wrap.errors import StoreError, StoreFullError

if TYPE_CHECKING:
    import apsw

__all__ = ["damaged", "from_kernel", "from_sqlite", "newer"]

_FULL = (errno.ENOSPC, errno.EDQUOT)


def damaged(path: str, why: str) -> StoreError:
    """It can't be read; it is left as it is."""
    return StoreError(
        f"the store {path} is damaged ({why}): move it away together with the files {os.path.basename(path)}-wal and "
        "-shm beside it, or restore it from a copy."
    )


def newer(path: str) -> StoreError:
    """A later version has changed the schema."""
    return StoreError(
        f"the store {path} was written by a newer raydp-wrap: use that one, or set RAYDP_WRAP_HOME elsewhere."
    )


def from_kernel(path: str, error: OSError) -> StoreError:
    """The sentence on a system call that failed."""
    if error.errno in _FULL:
        return _full(path)
    if error.errno == errno.EROFS:
        return _read_only(path)
    why = error.strerror or str(error)
    return StoreError(
        f"the store {path} can't be used ({why}): see to it, or set RAYDP_WRAP_HOME to another directory."
    )


def _full(path: str) -> StoreError:
    return StoreFullError(f"the disk is full, so the store {path} can't be written to: make room there, and try again.")


def _failed(path: str, number: int, text: str) -> StoreError:
    why = os.strerror(number) if number else text
    return StoreError(
        f"the disk failed under the store {path} ({why}), and whether the last change is kept is not known: "
        "see to the disk, and ask again."
    )


def _read_only(path: str) -> StoreError:
    return StoreError(
        f"the store {path} is read-only: make it writable, or set RAYDP_WRAP_HOME to a directory that is."
    )


def from_sqlite(path: str, error: apsw.Error, number: int, timeout: float) -> StoreError:
    """The sentence on ERROR; NUMBER is the errno behind it, 0 unknown."""
    import apsw  # noqa: PLC0415 - loaded by whoever raised this

    if isinstance(error, apsw.CorruptError) and number == errno.EIO:
        return _failed(path, number, str(error))
    if isinstance(error, (apsw.NotADBError, apsw.CorruptError)):
        return damaged(path, str(error) or "it is no store")
    if isinstance(error, apsw.BusyError):
        return StoreError(
            f"the store {path} was held by another process for more than {timeout:g} s: try again, or end that process."
        )
    out_of_room = isinstance(error, (apsw.IOError, apsw.CantOpenError)) and number in _FULL
    if isinstance(error, apsw.FullError) or out_of_room:
        return _full(path)
    if isinstance(error, apsw.ReadOnlyError) or (isinstance(error, apsw.CantOpenError) and number == errno.EROFS):
        return _read_only(path)
    if isinstance(error, (apsw.CantOpenError, apsw.PermissionsError)):
        why = os.strerror(number) if number else str(error)
        return StoreError(
            f"the store {path} can't be opened ({why}): see to it, or set RAYDP_WRAP_HOME to another directory."
        )
    if isinstance(error, apsw.IOError):
        return _failed(path, number, str(error))
    if isinstance(error, apsw.NoMemError):
        return StoreError(f"there is not enough memory for the store {path}: make some free, and try again.")
    return StoreError(f"the store {path} refused a change ({error}): nothing of it was kept.")
