"""The store's files: made so that a power cut can't lose them, and refused where they are not what they should be."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time
from typing import TYPE_CHECKING

from raydp_wrap.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["NAME", "check_files", "make", "sync_directory"]

NAME = "store.db"
_SUFFIXES = ("", "-wal", "-shm", "-journal")
_OTHERS = 0o077


def check_files(directory: str) -> tuple[int, int] | None:
    """(device, inode) of the store in DIRECTORY, None when there is none.

    Only looked at, never opened: closing a descriptor of the database would drop the locks that SQLite holds
    for this process.

    Raises:
        StoreError: a symbolic link, a FIFO, a directory, a hard link or another user's file stands there.
        OSError: it can't be looked at.

    """
    found = None
    for suffix in _SUFFIXES:
        path = os.path.join(directory, NAME + suffix)
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            continue
        if not stat.S_ISREG(status.st_mode):
            raise StoreError(f"{path} is not a file (a link doesn't count): move it away.")
        if status.st_uid != os.geteuid():
            raise StoreError(f"{path} belongs to another user: set RAYDP_WRAP_HOME to a directory of your own.")
        if status.st_nlink > 1:
            raise StoreError(f"{path} is linked to from elsewhere, too: move it away, or remove the other link.")
        if status.st_mode & _OTHERS:
            with contextlib.suppress(FileNotFoundError):
                os.chmod(path, 0o600)
        if not suffix:
            found = status.st_dev, status.st_ino
    return found


@contextlib.contextmanager
def _locked(directory: str, timeout: float) -> Iterator[int]:
    """The directory's descriptor, with an flock on it: between processes that find no store."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + timeout
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise StoreError(f"another process holds {directory}: try again, or end that process.") from None
                time.sleep(0.005)
        yield fd
    finally:
        os.close(fd)


def _refuse_orphan(directory: str) -> None:
    """A log without its store may hold what was acknowledged last; a new store's log it must never become."""
    log = os.path.join(directory, NAME + "-wal")
    try:
        if os.stat(log).st_size:
            raise StoreError(f"{log} is there without its store: put {NAME} back beside it, or move it away.")
        os.unlink(log)
    except FileNotFoundError:
        pass


def make(directory: str, build: Callable[[str], None], timeout: float) -> None:
    """Put a store into DIRECTORY that BUILD has filled, unless there is one by now: whole from the first moment on."""
    with _locked(directory, timeout) as fd:
        if os.path.lexists(os.path.join(directory, NAME)):
            return
        path = os.path.join(directory, NAME + ".new")
        _refuse_orphan(directory)
        for suffix in _SUFFIXES:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path + suffix)
        new = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(new, 0o600)  # the umask may have taken even our own rights
        finally:
            os.close(new)
        build(path)
        os.rename(path, os.path.join(directory, NAME))
        os.fsync(fd)
    sync_directory(os.path.dirname(directory))


def sync_directory(directory: str) -> None:
    """Make a new name in DIRECTORY durable, as far as we may."""
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EINVAL):
            raise
