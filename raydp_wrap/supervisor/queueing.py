"""Who may start now, in which order, and what the others wait for."""

from __future__ import annotations

import heapq
import os
from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from raydp_wrap import checks
from raydp_wrap.job import Capacity
from raydp_wrap.request import Condition, Phase

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

    from raydp_wrap.job import Job
    from raydp_wrap.moment import Moment
    from raydp_wrap.request import Dependency

__all__ = ["Queue", "blockers", "effective", "startable", "why_waiting"]

_MAX_RUNNING: Final = 100
_UNITS: Final = 1_000_000  # amounts are counted in millionths: in floats ten tenths are not one
_MEMORY: Final = "memory"
_KIB: Final = 1024

_Needs = tuple[tuple[str, int], ...]  # by resource, in millionths
_Place = tuple[int, int, str]  # the smaller, the earlier


def effective(capacity: Capacity) -> Capacity:
    """CAPACITY with what was not set: 100 at once, the CPUs this process may use, the machine's memory."""
    slots = {
        "cpus": float(len(os.sched_getaffinity(0))),
        _MEMORY: float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")),
        **capacity.slots,
    }
    return Capacity(_most(capacity), slots)


def startable(waiting: Sequence[Job], running: Iterable[Job], capacity: Capacity) -> list[str]:
    """Who of WAITING may start beside RUNNING, in this order: see :meth:`Queue.startable`."""
    queue = Queue()
    for job in running:
        queue.run(job)
    for job in waiting:
        queue.wait(job)
    return queue.startable(capacity)


class Queue:
    """Jobs that wait and jobs that run, by what they need. A job does one or the other.

    To change it costs O(log n). To ask costs O(log n) for each job that may start and each different need, however
    many wait.
    """

    def __init__(self) -> None:
        # All that need the same wait in one line: where its first may not start, none may.
        self._lines: dict[_Needs, list[_Place]] = {}
        self._waiting: dict[str, tuple[_Place, _Needs]] = {}
        self._running: dict[str, _Needs] = {}
        self._taken: dict[str, int] = {}

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def __contains__(self, submission_id: object) -> bool:
        """Whether it waits."""
        return submission_id in self._waiting

    def wait(self, job: Job) -> None:
        """JOB waits, at its place."""
        place, needs = _place(job), _needs(job)
        submission_id = place[2]
        if submission_id in self._waiting or submission_id in self._running:
            if self._waiting.get(submission_id) == (place, needs):
                return
            self.leave(submission_id)
        self._waiting[submission_id] = place, needs
        heapq.heappush(self._lines.setdefault(needs, []), place)

    def run(self, job: Job) -> None:
        """JOB has begun, and has what it needs."""
        self.leave(job.submission_id)
        needs = self._running[job.submission_id] = _needs(job)
        for name, units in needs:
            self._taken[name] = self._taken.get(name, 0) + units

    def leave(self, submission_id: str) -> None:
        """It waits no more, or runs no more; no harm if it did neither."""
        # Its place stays in the line, and is found to be nobody's when it is the first.
        self._waiting.pop(submission_id, None)
        for name, units in self._running.pop(submission_id, ()):
            self._taken[name] -= units

    def startable(self, capacity: Capacity, most: int | None = None) -> list[str]:
        """The ids of those that may start now, in order: highest priority first, then by place; at most MOST.

        Who does not fit keeps from all behind it what it lacks; and the rest of what it needs as well, if nobody
        before it lacks the same: so it will have all of it one day. Who needs none of that overtakes it. Who needs
        more than there is at all keeps nothing.
        """
        places = _free_places(capacity, len(self._running))
        places = places if most is None else min(places, most)
        ledger = _Ledger(capacity, self._taken)
        heads = [(line[0], needs, line) for needs in list(self._lines) if (line := self._line(needs))]
        heapq.heapify(heads)
        found: list[str] = []
        gone: list[tuple[_Place, list[_Place]]] = []
        while heads and places > len(found):
            place, needs, line = heads[0]
            if ledger.offer(needs, place[2]):
                heapq.heappop(heads)  # what it lacks, those behind it lack, too
                continue
            found.append(place[2])
            gone.append((place, line))
            while line and line[0] == place:  # more than once, if it left and came back
                heapq.heappop(line)
            if self._tidy(needs, line):
                heapq.heapreplace(heads, (line[0], needs, line))
            else:
                heapq.heappop(heads)
        for place, line in gone:
            heapq.heappush(line, place)
        return found

    def _line(self, needs: _Needs) -> list[_Place]:
        """The line of those that need NEEDS, with someone at its head; or empty, and no line any more."""
        line = self._lines[needs]
        if not self._tidy(needs, line):
            del self._lines[needs]
        return line

    def _tidy(self, needs: _Needs, line: list[_Place]) -> bool:
        """Drop whoever has left from the head of LINE; whether anyone is left."""
        while line and self._waiting.get(line[0][2]) != (line[0], needs):
            heapq.heappop(line)
        return bool(line)


class _Ledger:
    """What is free while the waiting are gone through in order, and what of it is kept for whom."""

    def __init__(self, capacity: Capacity, taken: Mapping[str, int]) -> None:
        self.total = {name: _units(amount) for name, amount in capacity.slots.items()}
        self.free = {name: units - taken.get(name, 0) for name, units in self.total.items()}
        self.kept: dict[str, str] = {}  # who was the first to lack it

    def offer(self, needs: _Needs, submission_id: str) -> tuple[str, ...]:
        """What the next one, which needs NEEDS, lacks; nothing: it has taken it."""
        lacks = tuple(name for name, units in needs if name in self.kept or units > self.free.get(name, 0))
        if lacks and any(units > self.total.get(name, 0) for name, units in needs):
            return lacks
        # Without this, those behind it could take by turns one of two things that it needs at once.
        if not lacks or not any(name in self.kept for name in lacks):
            for name, units in needs:
                self.free[name] -= units
        for name in lacks:
            self.kept.setdefault(name, submission_id)
        return lacks


def _place(job: Job) -> _Place:
    return -job.request.priority, job.place, job.submission_id


def _units(amount: object) -> int:
    # What was stored before it was checked may be anything that JSON holds.
    if not isinstance(amount, int | float) or amount != amount:  # noqa: PLR0124 - it is not, if it is NaN
        return 0
    return round(min(max(amount, 0), checks.MOST) * _UNITS)


def _needs(job: Job) -> _Needs:
    request = job.request
    if not (request.cpus or request.memory or request.slots):
        return ()
    return _in_units(request.cpus, request.memory, tuple(request.slots.items()))


@lru_cache(maxsize=1024)  # many jobs, few different needs
def _in_units(cpus: float, memory: float, slots: tuple[tuple[str, float], ...]) -> _Needs:
    amounts = {**dict(slots), "cpus": cpus, _MEMORY: memory}
    return tuple(sorted((name, units) for name, amount in amounts.items() if (units := _units(amount))))


def _free_places(capacity: Capacity, running: int) -> int:
    return _most(capacity) - running


def _most(capacity: Capacity) -> int:
    return capacity.max_running if isinstance(capacity.max_running, int) else _MAX_RUNNING


def blockers(job: Job, undecided: Container[str]) -> Iterator[Dependency]:
    """What JOB is to come after and is still among the UNDECIDED ids."""
    return (one for one in job.request.after if one.submission_id in undecided)


def why_waiting(job: Job, unfinished: Iterable[Job], capacity: Capacity, now: Moment) -> str:
    """What JOB waits for, as a clause for people; "" if it doesn't wait to be started.

    UNFINISHED are all jobs that are not terminal, CAPACITY is the effective one.
    """
    if job.phase is Phase.SUSPENDED:
        return "it is suspended: resume it"
    if job.active or job.phase not in (Phase.PENDING, Phase.RETRYING):
        return ""
    others = {one.submission_id: one for one in unfinished}
    for dependency in blockers(job, others):
        to = "finish" if dependency.condition is Condition.FINISHED else "end"
        return f"waits for job {_called(others[dependency.submission_id])} to {to}"
    if job.due is not None and (left := now.until(job.due)) > 0:
        return f"waits for its next attempt, which is due in {left:.0f} s"
    running = [one for one in others.values() if one.active]
    waiting = [one for one in others.values() if _waits(one, others, now)]
    return _queued(job, waiting, running, capacity)


def _waits(job: Job, undecided: Container[str], now: Moment) -> bool:
    """Whether only place and resources keep JOB from being started."""
    return (
        job.phase in (Phase.PENDING, Phase.RETRYING)
        and not (job.active or job.suspend)
        and job.stop is None
        and (job.due is None or now.until(job.due) <= 0)
        and not any(blockers(job, undecided))
    )


def _queued(job: Job, waiting: Iterable[Job], running: Sequence[Job], capacity: Capacity) -> str:
    """What JOB waits for where only place and resources keep it from being started."""
    taken: Counter[str] = Counter()
    for one in running:
        taken.update(dict(_needs(one)))
    ledger = _Ledger(capacity, taken)
    needs = _needs(job)
    for name, units in needs:
        if units > (total := ledger.total.get(name, 0)):
            return f"needs {_named(name, units)} and there are {_amount(name, total)} in all: raise that limit"
    before = sorted((one for one in waiting if _place(one) < _place(job)), key=_place)
    places = _free_places(capacity, len(running))
    in_queue = f"place {len(before) + 1} in the queue"
    if places <= 0:
        return f"{in_queue}: {len(running)} of {len(running) + places} run"
    free = dict(ledger.free)
    starting = sum(not ledger.offer(_needs(one), one.submission_id) for one in before)
    for name in ledger.offer(needs, job.submission_id):
        wanted = _named(name, dict(needs)[name])
        if dict(needs)[name] <= free[name]:
            return f"waits for {wanted}, which those before it in the queue take or wait for"
        have, total = max(0, free[name]), ledger.total[name]
        return f"waits for {wanted}: {_amount(name, have)} of {_amount(name, total)} are free"
    return in_queue if starting >= places else "it is about to be started"


def _called(job: Job) -> str:
    name = job.submission.name
    return f"{job.submission_id} ({name})" if name else job.submission_id


def _named(name: str, units: int) -> str:
    return f"{_amount(name, units)} {'of memory' if name == _MEMORY else name}"


def _amount(name: str, units: int) -> str:
    amount = units / _UNITS
    if name != _MEMORY:
        return f"{amount:g}"
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < _KIB:
            return f"{amount:.4g} {unit}"
        amount /= _KIB
    return f"{amount:.4g} TiB"
