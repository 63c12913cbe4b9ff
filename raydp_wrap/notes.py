"""Small files in a run's directory: written as a whole and to last, read back with suspicion."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["read", "write"]


def write(directory: Path, name: str, data: bytes) -> bool:
    """Have DATA be what NAME holds, after a power cut too; False: it can't be."""
    try:
        folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(f"{name}.tmp", flags, 0o600, dir_fd=folder), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.rename(f"{name}.tmp", name, src_dir_fd=folder, dst_dir_fd=folder)
        os.fsync(folder)
    except OSError:
        return False
    finally:
        os.close(folder)
    return True


def read(directory: Path, name: str, most: int) -> bytes | None:
    """What NAME holds, at MOST so many bytes of it; None where there is no such file, or something else."""
    try:
        fd = os.open(directory / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return None
            with open(fd, "rb", closefd=False) as file:
                return file.read(most)
        finally:
            os.close(fd)
    except OSError:
        return None
