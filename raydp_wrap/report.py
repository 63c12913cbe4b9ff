"""The outcome as a JSON file, durably: what ``--report FILE`` asks for."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from raydp_wrap.errors import UsageError
from raydp_wrap.outcome import to_dict

if TYPE_CHECKING:
    from raydp_wrap.model import Outcome

__all__ = ["Report"]


class Report:
    """A report file that has been found writable before anything was started.

    Raises:
        UsageError: it can't be written to, or is something else than a file.

    """

    def __init__(self, path: str | os.PathLike[str], submission_id: str) -> None:
        try:
            self.path = Path(os.path.abspath(path))  # the job may change neither our directory nor the meaning
            self._temporary = self.path.with_name(f".raydp-wrap-{submission_id}.tmp")
            with contextlib.suppress(FileNotFoundError):  # a new one, or a link to nowhere: both are made
                if not stat.S_ISREG(os.stat(self.path).st_mode):
                    raise UsageError(f"the report {os.fspath(path)} is not a file: name one to write to.")
            self._open(self._temporary).close()
        except (OSError, ValueError) as error:
            why = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise UsageError(f"the report {os.fspath(path)} can't be written ({why}): name another file.") from error

    @staticmethod
    def _open(path: Path) -> BinaryIO:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.fdopen(os.open(path, flags, 0o644), "wb")

    def write(self, outcome: Outcome) -> None:
        """Write the outcome: afterwards the file is there, whole, also after a power cut. Raises OSError."""
        data = json.dumps(to_dict(outcome), indent=2, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
        try:
            self._fill(self._temporary, data)
            try:
                os.rename(self._temporary, self.path)
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise
                # A mount point (a file bound into a container, a pod's termination log) can't be replaced.
                self._fill(self.path, data)
        finally:
            self.discard()
        directory = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _fill(self, path: Path, data: bytes) -> None:
        with self._open(path) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def tells_of(self, submission_id: str) -> bool:
        """Whether the file is there already, and is SUBMISSION_ID's."""
        try:
            found = json.loads(self.path.read_bytes())
        except (OSError, ValueError):
            return False
        return isinstance(found, dict) and found.get("submission_id") == submission_id

    def discard(self) -> None:
        """Leave nothing behind but what :meth:`write` wrote."""
        with contextlib.suppress(OSError):
            os.unlink(self._temporary)
