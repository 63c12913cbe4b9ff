"""One run's directory, ``HOME/run/<submission id>``: the exit record, and a lock that says somebody sees to it.

The lock is an flock on an open file that owner, guard and the guard's delivery share: it is free exactly when all are
gone, whatever ended them, and whatever became of their pids.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
from typing import TYPE_CHECKING

from raydp_wrap.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from typing_extensions import Self

__all__ = ["Run"]

_RECORD = "exit.json"
_LOCK = "lock"
_ROOM = "room"
_ROOM_SIZE = 256 * 1024
_OPEN = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
# All that we, the guard, and what either writes beside it first, put into a run's directory.
_OURS = re.compile(r"lock|room|(?:exit|outcome|watches)\.json(?:\.tmp.*)?", re.DOTALL)


class Run:
    """A run that this process sees to. Made by :meth:`create` or :meth:`adopt`; :meth:`close` lets go."""

    def __init__(self, directory: Path, lock: int) -> None:
        """Not for callers: use :meth:`create` or :meth:`adopt`."""
        self.directory = directory
        self.record = directory / _RECORD
        self.lock = lock

    @property
    def submission_id(self) -> str:
        """Whose run it is."""
        return self.directory.name

    @classmethod
    def create(cls, home: Path, submission_id: str) -> Run:
        """Make the directory (0700) for a new submission.

        Raises:
            UsageError: it can't be made.
            FileExistsError: the id is taken.

        """
        directory = home / "run" / submission_id
        lock = -1
        try:
            _make_parent(directory.parent)
            directory.mkdir(mode=0o700)
            with contextlib.suppress(FileNotFoundError):
                lock = os.open(directory / _LOCK, _OPEN | os.O_CREAT | os.O_EXCL, 0o600)
            # A repair may have seen the new directory, taken it for an abandoned one, and removed it.
            if lock < 0 or not _locked(lock):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), directory)
            _reserve(directory / _ROOM)
        except OSError as error:
            if lock >= 0:
                os.close(lock)
            if isinstance(error, FileExistsError):
                raise
            _remove(directory)
            raise UsageError(f"{directory} can't be made ({error.strerror}): set RAYDP_WRAP_HOME elsewhere.") from error
        return cls(directory, lock)

    @classmethod
    def adopt(cls, home: Path, submission_id: str) -> Run | None:
        """Take over a run that nobody sees to any more; None where owner or guard lives, or there is no such run."""
        directory = home / "run" / submission_id
        try:
            with _opened(directory) as there:
                lock = os.open(_LOCK, _OPEN, dir_fd=there)
        except OSError:
            return None
        if not _locked(lock):
            os.close(lock)
            return None
        return cls(directory, lock)

    @classmethod
    def exists(cls, home: Path, submission_id: str) -> bool:
        """Whether there is such a run, whoever sees to it."""
        try:
            with _opened(home / "run" / submission_id) as there:
                os.stat(_LOCK, dir_fd=there)
        except OSError:
            return False
        return True

    @classmethod
    def all(cls, home: Path) -> Iterator[str]:
        """The ids of all runs that have a directory. What else lies there, a link above all, is nobody's run."""
        with contextlib.suppress(OSError), os.scandir(home / "run") as found:
            yield from sorted(
                one.name for one in found if _ID.fullmatch(one.name) and one.is_dir(follow_symlinks=False)
            )

    @classmethod
    def drop_empty(cls, home: Path, submission_id: str) -> None:
        """Remove the directory of an owner that died before it had even a lock. Should it live: it makes another."""
        with contextlib.suppress(OSError):
            os.rmdir(home / "run" / submission_id)

    def make_room(self) -> bool:
        """Give a full disk back what was reserved for this moment: the outcome needs it now. False: there is none."""
        try:
            os.unlink(self.directory / _ROOM)
        except OSError:
            return False
        return True

    def remove(self) -> None:
        """Remove the directory: what it held is decided and stored."""
        _remove(self.directory)

    def close(self) -> None:
        """Let go. A guard that shares the lock keeps it."""
        if self.lock >= 0:
            os.close(self.lock)
            self.lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextlib.contextmanager
def _opened(directory: Path) -> Iterator[int]:
    """DIRECTORY, unless it is a link: that leads to what is not ours."""
    fd = os.open(directory, _OPEN_DIRECTORY)
    try:
        yield fd
    finally:
        os.close(fd)


def _make_parent(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
    except FileExistsError as error:  # for our caller that would mean an id that is taken
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from error


def _remove(directory: Path) -> None:
    """What is ours in it, and itself, unless somebody else put something there."""
    with contextlib.suppress(OSError):
        with _opened(directory) as there:
            for name in os.listdir(there):
                if _OURS.fullmatch(name):
                    with contextlib.suppress(OSError):
                        os.unlink(name, dir_fd=there)
        os.rmdir(directory)


def _reserve(path: Path) -> None:
    """Take the room that the outcome will need, should the disk be full by then."""
    fd = os.open(path, _OPEN | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.posix_fallocate(fd, 0, _ROOM_SIZE)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise
    finally:
        os.close(fd)


def _locked(fd: int) -> bool:
    """Whether the lock could be had, on a file that is still there."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return os.fstat(fd).st_nlink > 0
