"""The directory of archives, ``$XDG_CACHE_HOME/raydp-wrap/jvm``: finding, keeping, and making room."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import stat
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from raydp_wrap_spark.faststart.place import create, place, write

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["Cache", "Entry"]

_ARCHIVE = ".jvm"
_ABOUT = ".json"
_TRIED = ".tried"
_FIRST_PAUSE = 600.0
_LONGEST_PAUSE = 7 * 86400.0


@dataclass(frozen=True, slots=True)
class Entry:
    """One archive. ABOUT is what its maker noted; USED_AT is in seconds since the epoch."""

    key: str
    path: Path
    size: int
    used_at: float
    about: Mapping[str, Any]


class Cache:
    """The archives of one user. Whatever is wrong with one, it is as if it were not there."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @classmethod
    def of(cls, env: Mapping[str, str]) -> Cache:
        """The cache of the user whose environment is ENV; nothing is made yet.

        Raises:
            OSError, UsageError: there can't be one that is private.

        """
        return cls(place(env, "jvm"))

    def create(self) -> None:
        """Make the directory. Raises as :meth:`of`."""
        create(self.directory)

    @property
    def making(self) -> Path:
        """Where one is being made: everything in it is garbage once nobody holds the lock."""
        return self.directory / "making"

    def path(self, key: str) -> Path:
        """Where the archive KEY belongs."""
        return self.directory / f"{key}{_ARCHIVE}"

    def find(self, key: str) -> Entry | None:
        """The archive KEY, if it is just as its maker left it."""
        try:
            about = json.loads((self.directory / f"{key}{_ABOUT}").read_bytes())
            found = self.path(key).lstat()
            sound = (found.st_size, found.st_mtime_ns) == (about["size"], about["mtime"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if not sound or not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            return None
        return Entry(key, self.path(key), found.st_size, found.st_atime, about)

    def use(self, entry: Entry) -> None:
        """Note that ENTRY is in use: what is used least goes first."""
        found = entry.path.stat()
        os.utime(entry.path, ns=(time.time_ns(), found.st_mtime_ns))

    def put(self, key: str, archive: Path, about: Mapping[str, Any]) -> None:
        """Make ARCHIVE, a file in the same file system, the archive KEY."""
        # After a power cut the name must not be there without the bytes: a JVM would map the hole.
        archive.chmod(0o600)
        with archive.open("rb") as file:
            os.fsync(file.fileno())
        found = archive.stat()
        noted = {**about, "size": found.st_size, "mtime": found.st_mtime_ns}
        archive.replace(self.path(key))
        write(self.directory / f"{key}{_ABOUT}", noted)
        self._remove(f"{key}{_TRIED}")

    def drop(self, key: str) -> None:
        """Have no archive KEY any more. JVMs that have it open keep it."""
        for suffix in (_ABOUT, _ARCHIVE):
            self._remove(f"{key}{suffix}")

    def entries(self) -> list[Entry]:
        """All sound archives, the one that is used least first."""
        found = (self.find(key) for key in self._keys(_ABOUT))
        return sorted((entry for entry in found if entry), key=lambda entry: entry.used_at)

    def make_room(self, limit: int) -> list[Entry]:
        """Remove what nobody can use, and the archives used least until LIMIT bytes hold the rest; those removed."""
        entries = self.entries()
        sound = {entry.key for entry in entries}
        for key in {*self._keys(_ARCHIVE), *self._keys(_ABOUT)} - sound:
            self.drop(key)
        for key in self._keys(_TRIED):
            if time.time() - self._tried(key).get("at", 0) > 2 * _LONGEST_PAUSE:
                self._remove(f"{key}{_TRIED}")
        removed = []
        total = sum(entry.size for entry in entries)
        for entry in entries:
            if total <= limit:
                break
            self.drop(entry.key)
            total -= entry.size
            removed.append(entry)
        return removed

    # A making that fails is not begun again by every run.

    def may_try(self, key: str) -> bool:
        """Whether the last making of KEY is long enough ago: each failure doubles the pause."""
        last = self._tried(key)
        pause = min(_FIRST_PAUSE * 2 ** min(last.get("count", 0) - 1, 20), _LONGEST_PAUSE) if last else 0
        return not 0 <= time.time() - last.get("at", 0) < pause

    def note_try(self, key: str, why: str = "it did not finish", *, again: bool = True) -> None:
        """Note that making KEY begins, or (not AGAIN) why it failed. A success removes the note."""
        count = self._tried(key).get("count", 0) + again
        write(self.directory / f"{key}{_TRIED}", {"at": time.time(), "count": count, "why": why})

    def failures(self) -> Iterator[tuple[float, str]]:
        """When a making failed, and why; the last one first."""
        found = [self._tried(key) for key in self._keys(_TRIED)]
        yield from sorted(((note["at"], note["why"]) for note in found if note), reverse=True)

    def lock(self) -> int | None:
        """A descriptor that holds the one lock of all makers, or None: somebody else does."""
        fd = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            return None
        return fd

    def is_making(self) -> bool:
        """Whether a maker is at work."""
        try:
            fd = os.open(self.directory / "lock", os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(fd)
        return False

    def clear_making(self) -> None:
        """Remove what a maker left behind. The caller holds the lock."""
        shutil.rmtree(self.making, ignore_errors=True)

    def _tried(self, key: str) -> dict[str, Any]:
        try:
            note = json.loads((self.directory / f"{key}{_TRIED}").read_bytes())
            return {"at": float(note["at"]), "count": int(note["count"]), "why": str(note["why"])}
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    def _keys(self, suffix: str) -> list[str]:
        try:
            return [name.removesuffix(suffix) for name in os.listdir(self.directory) if name.endswith(suffix)]
        except OSError:
            return []

    def _remove(self, name: str) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self.directory / name)
