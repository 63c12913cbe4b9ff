"""The outcome as a JSON file, durably: what ``--report FILE`` asks for."""

from __future__ import annotations

import contextlib
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
        self.path = Path(os.path.abspath(path))  # the job may change neither our directory nor the meaning
        self._temporary = self.path.with_name(f".{self.path.name}.{submission_id}.tmp")
        try:
            if self.path.is_dir() or (self.path.exists() and not stat.S_ISREG(self.path.stat().st_mode)):
                raise UsageError(f"the report {os.fspath(path)} is not a file: name one to write to.")
            self._open().close()
        except OSError as error:
            message = f"the report {os.fspath(path)} can't be written ({error.strerror}): name another file."
            raise UsageError(message) from error

    def _open(self) -> BinaryIO:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.fdopen(os.open(self._temporary, flags, 0o644), "wb")

    def write(self, outcome: Outcome) -> None:
        """Write the outcome: afterwards the file is there, whole, also after a power cut. Raises OSError."""
        data = json.dumps(to_dict(outcome), indent=2, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
        with self._open() as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.rename(self._temporary, self.path)
        directory = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def discard(self) -> None:
        """Nothing was started: leave nothing behind."""
        with contextlib.suppress(OSError):
            os.unlink(self._temporary)
