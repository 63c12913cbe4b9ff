"""The file in which a HotSpot JVM says of itself whether it can be asked anything."""

from __future__ import annotations

import glob
import os
import struct
from typing import Final

__all__ = ["can_be_asked", "capabilities"]

_MAGIC: Final = b"\xca\xfe\xc0\xc0"
_NAME: Final = b"sun.rt.jvmCapabilities"
_LARGEST: Final = 1 << 20
_ENTRY: Final = "IIIBBBBI"


def can_be_asked(pid: int, inner_pid: int) -> bool:
    """Whether process PID is a HotSpot JVM whose attach mechanism is on. INNER_PID is its number in its own namespace.

    A JVM without this file (OpenJ9, ``-XX:-UsePerfData``, ``-XX:+PerfDisableSharedMem``) is not: a SIGQUIT might
    make it print on the application's output, or end it.
    """
    for path in glob.glob(f"/proc/{pid}/root/tmp/hsperfdata_*/{inner_pid}"):
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            continue
        with os.fdopen(fd, "rb") as file:
            if os.fstat(fd).st_uid != os.stat(f"/proc/{pid}").st_uid:
                continue  # left behind by another user's process of this number, or forged
            data = file.read(_LARGEST)
        return capabilities(data)[:1] == b"1"
    return False


def capabilities(data: bytes) -> bytes:
    """``sun.rt.jvmCapabilities`` of the file's DATA, one byte for each; empty where it isn't there."""
    try:
        if data[:4] != _MAGIC:
            return b""
        order = "<" if data[4] else ">"
        start, count = struct.unpack_from(f"{order}II", data, 24)
        for _ in range(count):
            length, name, vector, *_types, value = struct.unpack_from(order + _ENTRY, data, start)
            if data[start + name : start + length].partition(b"\0")[0] == _NAME:
                return data[start + value : start + value + vector]
            start += length
    except (struct.error, IndexError):
        pass
    return b""
