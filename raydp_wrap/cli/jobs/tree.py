"""What the process tree of a running attempt uses, seen from outside."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

from raydp_wrap.errors import RaydpWrapError
from raydp_wrap.process import Guard

if TYPE_CHECKING:
    from pathlib import Path

    import psutil

    from raydp_wrap.job import Job

__all__ = ["Tree", "Use"]

_LOCAL = "local"
_PATIENCE = 1.0


class Use(NamedTuple):
    """What a tree uses now: seconds of CPU so far, those of its dead included, and bytes of memory (RSS, added up)."""

    processes: int
    cpu_seconds: float
    memory: int


class Tree:
    """All below the guard GUARD, which is not counted."""

    def __init__(self, guard: psutil.Process) -> None:
        self._guard = guard

    @classmethod
    def of(cls, home: Path, status: Job) -> Tree | None:
        """That of STATUS's attempt; None where none runs here."""
        if not status.active or status.request.backend != _LOCAL:
            return None
        import psutil  # noqa: PLC0415 - for who looks at what runs

        from raydp_wrap.local.place import Place  # noqa: PLC0415 - the same
        from raydp_wrap.supervisor.at_home import output_directory  # noqa: PLC0415 - the same

        try:
            with contextlib.closing(Place(str(output_directory(home, status.submission_id, status.attempt)))) as place:
                guard = Guard.connect(place.way("socket"), timeout=_PATIENCE)
                try:
                    return cls(psutil.Process(guard.guard_pid))
                finally:
                    guard.close()
        except (OSError, RaydpWrapError, psutil.Error):
            return None  # it has just ended, or not begun yet

    def use(self) -> Use | None:
        """What it uses now; None when it is gone."""
        import psutil  # noqa: PLC0415 - as above

        try:
            below = self._guard.children(recursive=True)
            ended = self._guard.cpu_times()
        except psutil.Error:
            return None
        processes, memory = 0, 0
        seconds = ended.children_user + ended.children_system
        for one in below:
            try:
                with one.oneshot():
                    spent, size = one.cpu_times(), one.memory_info().rss
            except psutil.Error:
                continue
            processes += 1
            seconds += spent.user + spent.system + spent.children_user + spent.children_system
            memory += size
        return Use(processes, seconds, memory) if processes else None
