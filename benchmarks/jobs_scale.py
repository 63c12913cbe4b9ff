"""Many jobs in a home of their own: what they cost while they run, how fast they come and go, and that none is lost."""

from __future__ import annotations

import os
import time
from collections import Counter
from typing import TYPE_CHECKING

from benchmarks.jobs_home import clock, home
from benchmarks.jobs_processes import memory, parent, running, spent
from raydp_wrap.job import Capacity, ChangeKind
from raydp_wrap.request import Phase

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.jobs_entrypoint import Entrypoint
    from benchmarks.jobs_home import Home
    from raydp_wrap.client import Job
    from raydp_wrap.job import Change

_WARM_UP = 20
_LONGEST = 3600.0  # seconds: should we be killed, none lives for ever


class Lost(Exception):  # noqa: N818 - it says what happened
    """A job was lost, ran twice, or was left behind."""


def idle(where: Path, entrypoint: Entrypoint, count: int, seconds: float) -> dict[str, float]:
    """Memory for each of COUNT jobs that run, and the processor that they all take in SECONDS together."""
    with home(where) as place:
        supervisor = place.supervised()
        place.client.set_limits(Capacity(max(count, _WARM_UP)))
        _stop(place, _started(place, entrypoint, _WARM_UP))
        before = memory(supervisor)
        jobs = _started(place, entrypoint, count)
        own = memory(supervisor) - before
        drivers = running(entrypoint.program)
        guards = [parent(pid) for pid in drivers]
        if len(set(guards)) != count:
            raise Lost(f"{count} jobs are said to run, and {len(set(guards))} do")
        each = sum(map(memory, guards)) / count
        everyone = [supervisor, *guards]
        at, used = clock(), spent(everyone)
        time.sleep(seconds)
        took, used = (clock() - at) / 1e9, spent(everyone).since(used)
        _stop(place, jobs)
    return {
        "memory": each + own / count,
        "memory guard": each,
        "memory supervisor": own / count,
        "memory supervisor itself": before,
        "idle cpu": 100 * used.cpu / took,
        "idle switches": used.switches / took,
    }


def crowd(where: Path, entrypoint: Entrypoint, count: int) -> dict[str, float]:
    """COUNT jobs at once: until all of them run, and until all have been stopped and nothing of them is left."""
    with home(where) as place:
        supervisor = place.supervised()
        place.client.set_limits(Capacity(0))
        began = clock()
        jobs = [place.client.submit([entrypoint.program], attempt_deadline=_LONGEST) for _ in range(count)]
        submitted = clock()
        since = place.client.last_change()
        place.client.set_limits(Capacity(count))
        _await(place, since, 1, lambda change: change.kind is ChangeKind.STARTED)
        first = clock()
        _await(place, since, count, lambda change: change.kind is ChangeKind.STARTED)
        started = clock()
        there = len(running(entrypoint.program))
        if there != count:
            raise Lost(f"{count} jobs are said to run, and {there} do")
        descriptors = len(os.listdir(f"/proc/{supervisor}/fd"))
        asked = clock()
        _stop(place, jobs)
        stopped = clock()
        left = running(entrypoint.program)
        if left:
            raise Lost(f"{len(left)} of {count} jobs are KILLED, and live")
    return {
        "crowd submitted": submitted - began,
        "crowd first": first - submitted,
        "crowd started": started - submitted,
        "crowd stopped": stopped - asked,
        "crowd survivors": len(left),
        "crowd descriptors": descriptors / count,
    }


def queue(where: Path, entrypoint: Entrypoint, notes: Path, count: int, at_once: int) -> dict[str, float]:
    """COUNT jobs of which AT_ONCE may run; each notes that it ran."""
    notes.touch()
    with home(where) as place:
        place.supervised()
        place.client.set_limits(Capacity(at_once))
        since = place.client.last_change()
        began = clock()
        submitted = [place.client.submit([entrypoint.program, str(notes)]).id for _ in range(count)]
        accepted = clock()
        _await(place, since, count, lambda change: change.phase.terminal)
        ended = clock()
        finished = len(place.client.jobs(phases=[Phase.FINISHED]))
    ran = Counter(notes.read_text().split())
    lost, twice = set(submitted) - set(ran), sum(times > 1 for times in ran.values())
    if lost or twice or finished != count:
        raise Lost(f"of {count} jobs {len(lost)} never ran, {twice} ran twice, and {finished} are FINISHED")
    return {
        "queue rate": count / (ended - began) * 1e9,
        "queue submit rate": count / (accepted - began) * 1e9,
        "queue lost": len(lost) + twice,
    }


def _started(place: Home, entrypoint: Entrypoint, count: int) -> list[Job]:
    since = place.client.last_change()
    jobs = [place.client.submit([entrypoint.program], attempt_deadline=_LONGEST) for _ in range(count)]
    _await(place, since, count, lambda change: change.kind is ChangeKind.STARTED)
    return jobs


def _stop(place: Home, jobs: list[Job]) -> None:
    since = place.client.last_change()
    for job in jobs:
        job.stop()
    _await(place, since, len(jobs), lambda change: change.phase.terminal)


def _await(place: Home, since: int, count: int, counts: Callable[[Change], bool]) -> None:
    """Wait for COUNT of the changes after SINCE that COUNTS says yes to."""
    left = count
    for change in place.client.changes(since):
        left -= counts(change)
        if not left:
            return
