"""An outcome that the store could not take, kept in its run's directory: it goes before the exit record there."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from raydp_wrap.outcome import from_dict, to_dict

if TYPE_CHECKING:
    from pathlib import Path

    from raydp_wrap.model import Outcome

__all__ = ["keep", "kept"]

_NAME = "outcome.json"
_LARGEST = 4 << 20


def keep(directory: Path, outcome: Outcome) -> bool:
    """Write OUTCOME there, durably and as a whole; False: it can't be."""
    data = json.dumps(to_dict(outcome)).encode()
    try:
        folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(f"{_NAME}.tmp", flags, 0o600, dir_fd=folder), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.rename(f"{_NAME}.tmp", _NAME, src_dir_fd=folder, dst_dir_fd=folder)
        os.fsync(folder)
    except OSError:
        return False
    finally:
        os.close(folder)
    return True


def kept(directory: Path, submission_id: str) -> Outcome | None:
    """What :meth:`keep` wrote for SUBMISSION_ID, None if there is nothing of the kind."""
    try:
        fd = os.open(directory / _NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, "rb") as file:
            outcome = from_dict(json.loads(file.read(_LARGEST)))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return outcome if outcome.submission_id == submission_id else None
