"""Where what makes a start faster is kept: ``$XDG_CACHE_HOME/raydp-wrap``, for its owner's eyes only."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raydp_wrap.errors import UsageError
from raydp_wrap.process import private_directory

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["create", "place", "write"]


def place(env: Mapping[str, str], name: str) -> Path:
    """The directory NAME of the user whose environment is ENV; nothing is made yet.

    Raises:
        OSError, UsageError: there can't be one that is private.

    """
    base = env.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):
        base = os.path.join(env.get("HOME") or os.path.expanduser("~"), ".cache")
    directory = Path(base, "raydp-wrap", name)
    if not os.path.isabs(directory):
        raise UsageError("nobody knows this user's home directory: set XDG_CACHE_HOME.")
    # What is in there is executed: nobody else may be able to put something in.
    return private_directory(directory) if os.path.lexists(directory) else directory


def create(directory: Path) -> None:
    """Make a directory that :func:`place` named. Raises the same."""
    private_directory(directory.parent)
    private_directory(directory)


def write(file: Path, value: Mapping[str, Any]) -> None:
    """Have FILE hold VALUE as JSON, whole or not at all.

    Raises:
        OSError: not at all.

    """
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "w") as opened:
            json.dump(value, opened)
        temporary.replace(file)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
