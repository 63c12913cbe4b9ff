"""Whether the threads that keep a JVM are at work: two looks at it, compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from raydp_wrap_spark.jvm_threads import Main

if TYPE_CHECKING:
    from collections.abc import Mapping

    from raydp_wrap_spark.jvm_threads import Thread, Threads

__all__ = ["Look", "progressed"]

_SHARE: Final = 0.01
# What waking up once may cost.
_LEAST: Final = 0.005


@dataclass(frozen=True, slots=True)
class Look:
    """The JVM's THREADS at AT (``time.monotonic()``), and how often each, by its native number, read or wrote."""

    at: float
    threads: Threads
    calls: Mapping[int, int]
    stopped_for: float

    @property
    def kept_by(self) -> dict[int, Thread]:
        """The threads on which it depends when the JVM ends, by number."""
        threads = self.threads.keepers
        if self.threads.main is Main.EXITING:
            threads += self.threads.hooks(self.stopped_for)
        return {thread.number: thread for thread in threads}


def progressed(before: Look, after: Look) -> bool:
    """Whether anything was done between two looks, or is being done.

    Other threads, a thread that runs or is elsewhere in its code, that has read or written, or (of all threads, for a
    thread may wait for a daemon's work) that has used more than 1 % of a processor.
    """
    old, new = before.kept_by, after.kept_by
    if before.threads.main is not after.threads.main or old.keys() != new.keys():
        return True
    for number, thread in new.items():
        calls = before.calls.get(thread.native), after.calls.get(thread.native)
        if thread.works or thread.frames != old[number].frames or calls[0] != calls[1]:
            return True
    allowed = max(_LEAST, _SHARE * (after.at - before.at))
    used = {thread.number: thread.cpu for thread in before.threads.all if thread.cpu is not None}
    return any(
        thread.cpu - used.get(thread.number, 0.0) > allowed
        for thread in after.threads.all
        if thread.cpu is not None and thread.frames
    )
