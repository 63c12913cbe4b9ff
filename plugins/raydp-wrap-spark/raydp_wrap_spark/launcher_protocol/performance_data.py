"""The file in which a HotSpot JVM says whether it can be asked anything, and how often it has collected garbage."""

from __future__ import annotations

import glob
import os
import re
import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["can_be_asked", "capabilities", "collections", "performance_data"]

_MAGIC: Final = b"\xca\xfe\xc0\xc0"
_CAPABILITIES: Final = b"sun.rt.jvmCapabilities"
# Counted when a collection begins, by all collectors of Java 17 and 25 but Epsilon.
_COLLECTIONS: Final = re.compile(rb"sun\.gc\.collector\.\d+\.invocations")
_LARGEST: Final = 1 << 20
_ENTRY: Final = "IIIBBBBI"
_LONG: Final = 8


def performance_data(pid: int, inner_pid: int) -> bytes:
    """The file of process PID, which is INNER_PID in its own namespace; empty where there is none.

    OpenJ9 has none, nor a JVM with ``-XX:-UsePerfData`` or ``-XX:+PerfDisableSharedMem``.
    """
    for path in glob.glob(f"/proc/{pid}/root/tmp/hsperfdata_*/{inner_pid}"):
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            continue
        with os.fdopen(fd, "rb") as file:
            if os.fstat(fd).st_uid != os.stat(f"/proc/{pid}").st_uid:
                continue  # left behind by another user's process of this number, or forged
            return file.read(_LARGEST)
    return b""


def can_be_asked(data: bytes) -> bool:
    """Whether the JVM with the file's DATA has its attach mechanism on.

    To one that hasn't, and where there is no file, a SIGQUIT might mean to print on the application's output, or to
    end.
    """
    return capabilities(data)[:1] == b"1"


def capabilities(data: bytes) -> bytes:
    """``sun.rt.jvmCapabilities`` of the file's DATA, one byte for each; empty where it isn't there."""
    return next((value for name, value in _entries(data) if name == _CAPABILITIES), b"")


def collections(data: bytes) -> dict[bytes, bytes] | None:
    """How often each garbage collector has begun, in figures to be compared only; None where DATA doesn't say."""
    return {name: value for name, value in _entries(data) if _COLLECTIONS.fullmatch(name)} or None


def _entries(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    try:
        if data[:4] != _MAGIC:
            return
        order = "<" if data[4] else ">"
        start, count = struct.unpack_from(f"{order}II", data, 24)
        for _ in range(count):
            length, name, vector, kind, *_types, value = struct.unpack_from(order + _ENTRY, data, start)
            # A vector's length is 0 where there is but one, then 8 bytes if it is a Java long.
            size = vector or (_LONG if kind == ord("J") else 0)
            yield data[start + name : start + length].partition(b"\0")[0], data[start + value : start + value + size]
            start += length
    except (struct.error, IndexError):
        return
