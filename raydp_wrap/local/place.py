"""One attempt's directory, held open: it may be renamed, and its path be as long as it likes."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from raydp_wrap.errors import RecordError
from raydp_wrap.moment import boot_id
from raydp_wrap.process import read_record

if TYPE_CHECKING:
    from typing_extensions import Self

    from raydp_wrap.model import ExitRecord

__all__ = ["Place", "boot_of", "new_identity"]

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OUTPUT = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# The identity last: while it is there, what else is there is its own.
_FILES = ("began", "output", "errors", "times", "record", "record.tmp0", "record.tmp1", "socket", "identity")
_LONGEST_IDENTITY = 95
_READABLE = 60
_TAG = 8
_STRANGE = re.compile(r"[^A-Za-z0-9._]")


def new_identity(name: str) -> str:
    """What marks the processes of a start: for people NAME as far as it goes, this boot's tag, and chance."""
    return f"{_STRANGE.sub('_', name)[:_READABLE]}-{boot_id()[:_TAG]}-{os.urandom(8).hex()}"


def boot_of(identity: str) -> str:
    """The tag of the boot in which IDENTITY was made; "" is unknown."""
    return identity.rpartition("-")[0].rpartition("-")[2]


class Place:
    """The directory PATH, which is there.

    ``identity`` marks the attempt's processes, and is the latch of its start: whoever writes it starts it. The guard
    holds a lock on it for as long as it lives, and makes ``began`` right before there is a driver, and before that
    ``record.tmp0``, which has the room that its record will need.
    ``output`` and ``errors`` are the driver's, see :class:`raydp_wrap.local.output.Output`, ``times`` is the guard's
    index of them, ``record`` its last word, ``socket`` where it listens.

    Raises:
        OSError: it can't be opened (FileNotFoundError: there is none), or is a link.

    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.fd = os.open(path, _DIRECTORY)

    @classmethod
    def make(cls, path: str) -> Self:
        """The directory PATH, made if missing."""
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o700)
        return cls(path)

    def way(self, name: str) -> Path:
        """A path to NAME in it, short enough for a socket's address."""
        return Path(f"/proc/self/fd/{self.fd}", name)

    def lock(self) -> None:
        """Take the lock under which the attempt is started; waits for another process that is just starting it."""
        fcntl.flock(self.fd, fcntl.LOCK_EX)

    def unlock(self) -> None:
        """Let go of it."""
        fcntl.flock(self.fd, fcntl.LOCK_UN)

    def claim(self, identity: str) -> int | None:
        """Write IDENTITY, so that it lasts; a descriptor that holds its lock, for the guard to keep.

        None, if there is one already: its guard lives, or it may have been started. One whose guard is dead, and had
        not begun, is replaced. The caller has the lock of the start.

        Raises:
            OSError: it can't be written, and was not.

        """
        try:
            fd = os.open("identity", _NEW, 0o600, dir_fd=self.fd)
        except FileExistsError:
            if not self._never_began(identity):
                return None
            self._clear()
            fd = os.open("identity", _NEW, 0o600, dir_fd=self.fd)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.write(fd, identity.encode())
            # What begins to run after this has begun after a power cut too: ext4, XFS and Btrfs keep with a
            # new file its name and its directory's.
            os.fsync(fd)
        except BaseException:
            os.close(fd)
            os.unlink("identity", dir_fd=self.fd)
            raise
        return fd

    def is_held(self) -> bool:
        """Whether its guard lives, or somebody is just starting it."""
        try:
            fd = os.open("identity", _READ, dir_fd=self.fd)
        except OSError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False

    def _never_began(self, identity: str) -> bool:
        """Whether what was claimed was certainly not started, and will not be."""
        if self.is_held():
            return False
        there = self.identity()[0]
        if not there:
            return True  # nothing begins before it is written and synced
        # After a power cut "began" may be gone, though much had: another boot proves nothing.
        same_boot = bool(boot_of(there)) and boot_of(there) == boot_of(identity)
        return same_boot and not {"began", "record"} & set(os.listdir(self.fd))

    def identity(self) -> tuple[str, float | None]:
        """What was written, "" if nothing was, and when (seconds since the epoch)."""
        try:
            fd = os.open("identity", _READ, dir_fd=self.fd)
        except OSError:
            return "", None
        try:
            return os.read(fd, _LONGEST_IDENTITY).decode("ascii", "replace"), os.fstat(fd).st_mtime
        except OSError:
            return "", None
        finally:
            os.close(fd)

    def open_output(self, stream: str) -> int:
        """The file of STREAM, to be appended to."""
        return os.open(stream, _OUTPUT, 0o600, dir_fd=self.fd)

    def has_record(self) -> bool:
        """Whether there is an exit record, whatever is in it."""
        try:
            os.stat("record", dir_fd=self.fd, follow_symlinks=False)
        except OSError:
            return False
        return True

    def record(self, identity: str) -> tuple[ExitRecord | None, str]:
        """The exit record, if it is IDENTITY's; else None, and why not."""
        try:
            found = read_record(self.way("record"))
        except RecordError as error:
            return None, str(error)
        if found is None:
            return None, ""
        if found.identity != identity:
            return None, f"{self.path}/record is another attempt's exit record; it is left as it is."
        try:
            os.fsync(self.fd)
        except OSError as error:
            found = replace(found, not_durable=error.errno or errno.EIO)
        return found, ""

    def remove_empty(self) -> None:
        """Remove it, if nothing is in it."""
        with contextlib.suppress(OSError):
            os.rmdir(self.path)

    def remove(self) -> None:
        """Remove it, with what we put there."""
        self._clear()
        with contextlib.suppress(FileNotFoundError):
            os.rmdir(self.path)

    def _clear(self) -> None:
        for name in _FILES:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=self.fd)

    def close(self) -> None:
        """Let go of it; twice does no harm."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
