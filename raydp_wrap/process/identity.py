"""Which process it is, for others to find out later whether it is dead."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ProcessIdentity"]


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process that no later one can be taken for.

    ``pid`` is its number in ``pid_namespace``, ``started`` its start in clock ticks since the boot ``boot_id``,
    as seen from ``time_namespace``. Empty or 0 is unknown; where something is, nothing is ever proven.
    """

    boot_id: str
    pid_namespace: int
    time_namespace: int
    pid: int
    started: int

    @classmethod
    def of_this_process(cls) -> ProcessIdentity:
        """The caller's own. Not to be kept across a fork."""
        try:
            # Its own number comes from /proc too, which may be mounted from an outer pid namespace.
            number, fields = _stat("self")
            started = int(fields[_STARTED])
        except (OSError, ValueError, IndexError):
            number, started = os.getpid(), 0
        return cls(_boot_id(), _namespace("pid"), _namespace("time"), number, started)

    def is_dead(self) -> bool:
        """Whether it is PROVEN that the process has ended; False where that can't be told from here."""
        boot_id = _boot_id()
        if not (boot_id and self.boot_id):
            return False
        if boot_id != self.boot_id:
            return True
        if not (self.started and self.pid_namespace) or self.pid_namespace != _namespace("pid"):
            return False
        try:
            _, fields = _stat(str(self.pid))
            state, threads, started = fields[0], int(fields[_THREADS]), int(fields[_STARTED])
        except (FileNotFoundError, ProcessLookupError):
            return os.path.exists("/proc/self/stat")
        except (OSError, ValueError, IndexError):
            return False
        # A leader that has left its other threads behind is shown as a zombie, too.
        if state in "ZX" and threads <= 1:
            return True
        # Another time namespace counts from another start.
        return started != self.started and self.time_namespace == _namespace("time")

    def to_dict(self) -> dict[str, Any]:
        """The identity as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> ProcessIdentity:
        """The identity that :meth:`to_dict` made RAW of; what is missing is unknown."""
        return cls(
            boot_id=str(raw.get("boot_id", "")),
            pid_namespace=int(raw.get("pid_namespace", 0)),
            time_namespace=int(raw.get("time_namespace", 0)),
            pid=int(raw.get("pid", 0)),
            started=int(raw.get("started", 0)),
        )


# Places in /proc/PID/stat, counted from the state, which follows the command's closing parenthesis.
_THREADS = 17
_STARTED = 19


def _stat(which: str) -> tuple[int, list[str]]:
    with open(f"/proc/{which}/stat", encoding="utf-8", errors="replace") as file:
        head, _, tail = file.read().rpartition(")")
    return int(head.split(" ", 1)[0]), tail.split()


def _boot_id() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def _namespace(kind: str) -> int:
    try:
        return os.stat(f"/proc/self/ns/{kind}").st_ino
    except OSError:
        return 0
