"""Directories that only their owner can look into."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from raydp_wrap.errors import UsageError

__all__ = ["private_directory"]

_OTHERS = 0o077


def _check_parents(path: Path) -> None:
    """Whoever can write to a parent can put another directory in our place, unless it is sticky."""
    for parent in path.parents:
        mode = parent.stat().st_mode
        if mode & (stat.S_IWGRP | stat.S_IWOTH) and not mode & stat.S_ISVTX:
            raise UsageError(f"{parent} can be written to by others, who could swap {path} for theirs: use another.")


def private_directory(path: str | os.PathLike[str]) -> Path:
    """PATH as a directory of ours with mode 0700, created (with its parents) if missing; absolute.

    Raises:
        UsageError: it is a symbolic link, another's, open to others, or below a directory others can write to.
        OSError: it can't be made.

    """
    absolute = Path(os.path.abspath(path))
    # One by one: mkdir(parents=True) leaves the parents to the umask, which may open them to others.
    for missing in reversed([path for path in (absolute, *absolute.parents) if not os.path.lexists(path)]):
        with contextlib.suppress(FileExistsError):
            missing.mkdir(mode=0o700)
    found = absolute.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise UsageError(f"{absolute} is not a directory (a link doesn't count): use another.")
    if found.st_uid != os.geteuid():
        raise UsageError(f"{absolute} belongs to another user: use another.")
    if found.st_mode & _OTHERS:
        raise UsageError(f"{absolute} is open to others: chmod 700 it, or use another.")
    _check_parents(absolute)
    return absolute
