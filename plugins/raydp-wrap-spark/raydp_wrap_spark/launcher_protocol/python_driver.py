"""The Python (or R) process that a JVM started as its driver: finding it, and how it ended."""

from __future__ import annotations

import fcntl
import os
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["PythonDriver", "find_driver_of"]

# By which the JVM tells its driver, and nobody else, how to reach it.
_GATEWAYS: Final = (b"PYSPARK_GATEWAY_PORT=", b"EXISTING_SPARKR_BACKEND_PORT=")
# ioctl PIDFD_GET_INFO of linux/pidfd.h, whose bit EXIT (Linux 6.15) is about processes that others have reaped, too.
_SIZE: Final = 64
_GET_INFO: Final = 3 << 30 | _SIZE << 16 | 0xFF << 8 | 11
_EXIT: Final = 1 << 3
_STATUS_AT: Final = 60


class PythonDriver:
    """A process by its pidfd, which is readable once it has ended."""

    def __init__(self, pid: int) -> None:
        self._pidfd = os.pidfd_open(pid)

    def fileno(self) -> int:
        """The pidfd."""
        return self._pidfd

    def exit_code(self) -> int | None:
        """How it ended, 128+n for a signal, as its JVM counts.

        None until it was reaped, and where the kernel doesn't keep it.
        """
        answer = bytearray(struct.pack("=Q", _EXIT).ljust(_SIZE, b"\0"))
        try:
            fcntl.ioctl(self._pidfd, _GET_INFO, answer)
        except OSError:
            return None
        if not struct.unpack_from("=Q", answer)[0] & _EXIT:
            return None
        code = os.waitstatus_to_exitcode(struct.unpack_from("=i", answer, _STATUS_AT)[0])
        return code if code >= 0 else 128 - code

    def close(self) -> None:
        """Let go of the pidfd."""
        os.close(self._pidfd)


def find_driver_of(jvm: int) -> PythonDriver | None:
    """The child of process JVM that it made its driver, if it has one."""
    with suppress(OSError):
        # A PySpark program that starts this JVM has them, too, and all children inherit them.
        inherited = _gateways(jvm)
        for pid in _children(jvm):
            with suppress(OSError):
                driver = PythonDriver(pid)
                # Looked at after the pidfd was opened, so that both are about one process.
                if _gateways(pid) - inherited and pid in _children(jvm):
                    return driver
                driver.close()
    return None


def _gateways(pid: int) -> set[bytes]:
    with open(f"/proc/{pid}/environ", "rb") as file:
        return {pair for pair in file.read().split(b"\0") if pair.startswith(_GATEWAYS)}


def _children(pid: int) -> Iterator[int]:
    # A process belongs to the thread that started it.
    with suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with suppress(OSError), open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
                yield from map(int, file.read().split())
