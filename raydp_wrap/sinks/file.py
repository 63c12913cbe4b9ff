"""``file:PATH``: the outcome as a JSON file, whole or untouched."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from typing import TYPE_CHECKING

from raydp_wrap.backend import Answer, Sink, Verdict
from raydp_wrap.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from raydp_wrap.model import Report

__all__ = ["File"]

# Larger than any outcome: what is longer is not one.
_MOST = 16 << 20
_MODE = 0o644  # of a new file, less what the umask takes
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# Neither a pipe without a reader nor a terminal may hold us, and no link leads us elsewhere.
_THERE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class File(Sink):
    """Replaces a file by the outcome, durably, and keeps its permissions; a link is replaced, not followed.

    ACCEPTED: the file is there, whole, also after a power cut. DUPLICATE: it tells of this submission already.
    RETRY_AFTER: it could not be written (no space, no directory, no permission), and is as it was; only a file
    that is a mount point, which can't be replaced, is filled where it is. Never REJECTED.

    Raises:
        UsageError: there is no path, or none that a file can have.

    """

    def __init__(self, path: str) -> None:
        if not path:
            raise UsageError("the report needs a file to go to: write file:PATH, as in file:/tmp/outcome.json.")
        self._given = path
        try:
            # The job may change neither our directory nor the meaning.
            self._path = os.path.abspath(path)
            if b"\0" in os.fsencode(path):
                raise ValueError("embedded null byte")  # noqa: TRY301 - refused as what can't be encoded is
        except (OSError, ValueError) as error:
            raise self._refused(error) from error
        self._directory, self._name = os.path.split(self._path)

    def _refused(self, error: OSError | ValueError) -> UsageError:
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        return UsageError(f"the report {self._given} can't be written ({why}): name another file.")

    @property
    def text(self) -> str | None:
        """The path, absolute."""
        return self._path

    def check(self) -> None:
        """Write beside it, to see that this can be done."""
        try:
            with contextlib.suppress(FileNotFoundError):  # a new one, or a link to nowhere: both are made
                self._check_kind()
            with self._held() as directory:
                probe = f".raydp-wrap-{os.urandom(8).hex()}.tmp"
                os.close(os.open(probe, _NEW, 0o600, dir_fd=directory))
                os.unlink(probe, dir_fd=directory)
        except (OSError, ValueError) as error:
            raise self._refused(error) from error

    def _check_kind(self) -> None:
        found, link = os.stat(self._path), os.lstat(self._path)
        # /dev/stdout, even when that goes to a file: the link is what would be replaced.
        stream = stat.S_ISLNK(link.st_mode) and os.readlink(self._path).startswith("/proc/")
        if stream or not stat.S_ISREG(found.st_mode):
            raise UsageError(f"the report {self._given} is not a file: name one to write to.")
        above = os.stat(self._directory)
        if above.st_mode & stat.S_ISVTX and os.geteuid() not in (0, link.st_uid, above.st_uid):
            raise PermissionError(errno.EPERM, "another user's, in a directory where that can't be replaced")

    @contextlib.contextmanager
    def _held(self) -> Iterator[int]:
        directory = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield directory
        finally:
            os.close(directory)

    def deliver(self, report: Report) -> Answer:
        """Write it, if it is not there yet."""
        from raydp_wrap.sinks.document import exact  # noqa: PLC0415 - in the process that writes

        try:
            with self._held() as directory:
                told = self._tells_of(report.outcome.submission_id, directory)
                if not told:
                    self._replace(exact(report.outcome), _temporary(report.key), directory)
                os.fsync(directory)
        except OSError as error:
            return Answer(Verdict.RETRY_AFTER, error.strerror or str(error))
        return Answer(Verdict.DUPLICATE if told else Verdict.ACCEPTED)

    def _tells_of(self, submission_id: str, directory: int) -> bool:
        """Whether the file is there, tells of SUBMISSION_ID, and is on the disk: its writer may have died before."""
        try:
            fd = os.open(self._name, os.O_RDONLY | _THERE, dir_fd=directory)
        except OSError:
            return False
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return False
            with os.fdopen(fd, "rb", closefd=False) as file:
                found = json.loads(file.read(_MOST))
            os.fsync(fd)
        except (OSError, ValueError, RecursionError):
            return False
        finally:
            os.close(fd)
        return isinstance(found, dict) and found.get("submission_id") == submission_id

    def _replace(self, data: bytes, temporary: str, directory: int) -> None:
        # What lies there is a dead delivery's, or planted: it is taken away, never written to.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=directory)
        try:
            mode = self._mode(directory)
            fd = os.open(temporary, _NEW, _MODE if mode is None else 0o600, dir_fd=directory)
            try:
                if mode is not None:
                    os.fchmod(fd, mode)
                _put(fd, data)
            finally:
                os.close(fd)
            try:
                os.rename(temporary, self._name, src_dir_fd=directory, dst_dir_fd=directory)
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise
                # A mount point (a file bound into a container, a pod's termination log) can't be replaced.
                self._fill(data, directory)
        finally:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=directory)

    def _mode(self, directory: int) -> int | None:
        """The permissions of the file that is there, as its owner set them; None: there is no file."""
        try:
            found = os.stat(self._name, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            return None
        return found.st_mode & 0o777 if stat.S_ISREG(found.st_mode) else None

    def _fill(self, data: bytes, directory: int) -> None:
        fd = os.open(self._name, os.O_WRONLY | _THERE, dir_fd=directory)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise OSError(errno.EINVAL, "it is no longer a file")
            try:
                os.ftruncate(fd, 0)
                _put(fd, data)
            except OSError:
                # After a failed fsync the pages may read as written: the next try must not take them for told.
                with contextlib.suppress(OSError):
                    os.ftruncate(fd, 0)
                raise
        finally:
            os.close(fd)


def _put(fd: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(fd, left) :]
    os.fsync(fd)


def _temporary(key: str) -> str:
    """The same for each try of one report, so that the next takes away what a try that died has left."""
    from hashlib import sha256  # noqa: PLC0415 - as above

    return f".raydp-wrap-{sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()[:24]}.tmp"
