"""Which JVM it is, and what decides how it lays out its memory: what an archive depends on besides the classes."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from raydp_wrap_spark.faststart.errors import UnfitError

__all__ = ["Build", "identify", "server_class"]

_FIRST = 17  # older ones archive less, and Spark is leaving them
_FIRST_WITH_AOT = 24
_SERVER_CPUS = 2
_SERVER_MEMORY = 1792 << 20


@dataclass(frozen=True, slots=True)
class Build:
    """One Java as it is installed: its major version, and what changes when it is replaced."""

    major: int
    identity: tuple[str, ...]

    @property
    def aot(self) -> bool:
        """Whether it makes AOT caches, which hold profiles besides classes."""
        return self.major >= _FIRST_WITH_AOT


def identify(java: str) -> Build:
    """Tell the build that the program JAVA belongs to.

    Raises:
        UnfitError: it is too old, or can't be told.

    """
    home = Path(java).resolve().parent.parent
    library = home / "lib" / "server" / "libjvm.so"
    try:
        release = (home / "release").read_text(errors="replace")
        found = library.stat()
    except OSError as error:
        raise UnfitError(f"{home} does not say which Java it is") from error
    version = next((line for line in release.splitlines() if line.startswith("JAVA_VERSION=")), "")
    number = version.partition("=")[2].strip('"').split(".")[0]
    major = int(number) if number.isdigit() else 0
    if major < _FIRST:
        raise UnfitError(f"Java {_FIRST} or newer is needed, and {home} is {number or 'of no known version'}")
    if major < _FIRST_WITH_AOT and not (library.parent / "classes.jsa").is_file():
        # An archive of this kind lies on top of the JDK's own.
        raise UnfitError(f"{home} has no archive of its own classes (java -Xshare:dump makes it)")
    return Build(major, (str(home), release, str(found.st_size), str(found.st_mtime_ns)))


def server_class() -> bool:
    """Whether a JVM takes this for a server, and G1 for its collector, as it does by itself and within a cgroup."""
    cpus = float(len(os.sched_getaffinity(0)))
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        cpus = min(cpus, -(-int(quota) // int(period)))
    with contextlib.suppress(OSError, ValueError):
        memory = min(memory, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return cpus >= _SERVER_CPUS and memory >= _SERVER_MEMORY
