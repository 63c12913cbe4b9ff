"""Answers kept on disk for the next run: JSON objects in a private directory, of which the oldest go first."""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING, Any

from raydp_wrap.errors import UsageError

from raydp_wrap_spark.faststart.place import create, write

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["keep", "recall"]

_MOST = 64
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def recall(directory: Path, key: str) -> Any:
    """The answer KEY in DIRECTORY, whatever it holds; None if there is none that can be believed."""
    file = directory / f"{key}.json"
    try:
        # A fifo of this name must not make us wait.
        with open(os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as opened:
            found = os.fstat(opened.fileno())
            if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & _OTHERS:
                return None
            value = json.load(opened)
            os.utime(opened.fileno())
    except (OSError, ValueError, RecursionError):
        return None
    return value


def keep(directory: Path, key: str, value: Mapping[str, Any]) -> None:
    """Keep VALUE as the answer KEY in DIRECTORY (one of ``place``'s), where that is possible."""
    try:
        create(directory)
        write(directory / f"{key}.json", value)
        _make_room(directory)
    except (OSError, UsageError):
        return


def _make_room(directory: Path) -> None:
    with os.scandir(directory) as entries:
        found = sorted((entry.stat(follow_symlinks=False).st_mtime_ns, entry.path) for entry in entries)
    for _, path in found[:-_MOST]:
        os.unlink(path)
