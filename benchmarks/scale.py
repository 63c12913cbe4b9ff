"""Thousands of children in one ProcessSet."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import resource
import signal
import statistics
import time
from array import array
from typing import TYPE_CHECKING

from raydp_wrap.process import ProcessSet

if TYPE_CHECKING:
    from benchmarks.children import Binaries
    from benchmarks.methods import Measure

_SPARE_FDS = 100
_KILLED_ONE_BY_ONE = 20


def _rss() -> int:
    """Bytes, exact: the counters of /proc/self/status lag behind."""
    with open("/proc/self/smaps_rollup", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("Rss:"))


def _release_free_memory() -> None:
    """What is free in the heap must not hide what is taken from it."""
    gc.collect()
    with contextlib.suppress(AttributeError):  # glibc's
        ctypes.CDLL(None).malloc_trim(0)


def _kill_one(sleepers: ProcessSet, number: int) -> float:
    began = time.perf_counter_ns()
    os.kill(sleepers.pid(number), signal.SIGKILL)
    ended = sleepers.wait()
    took = time.perf_counter_ns() - began
    if [child for child, _ in ended] != [number]:
        raise OSError(f"child {number} was killed, {ended} reported")
    return took


def measure(path: str, count: int) -> dict[str, float]:
    """Spawn COUNT sleepers, kill some one by one, then SIGKILL and reap all. For a fresh process."""
    argv = [path]
    numbers = array("q", bytes(8 * count))  # there before, and of a fixed size: not the set's memory
    with ProcessSet() as sleepers:
        for _ in range(10):  # code and allocator pages that the first few would be charged with
            sleepers.spawn(argv)
        sleepers.kill_all()
        _release_free_memory()
        _rss()  # once for the pages that reading it takes
        before = _rss()
        began = time.perf_counter_ns()
        for index in range(count):
            numbers[index] = sleepers.spawn(argv)
        spawned = time.perf_counter_ns() - began
        _release_free_memory()
        grown = _rss() - before
        noticed = [_kill_one(sleepers, number) for number in numbers[:: max(1, count // _KILLED_ONE_BY_ONE)]]
        began = time.perf_counter_ns()
        sleepers.kill_all()
        killed = time.perf_counter_ns() - began
    return {
        "scale-spawn": spawned,
        "scale-memory": grown / count,
        "scale-notice": statistics.median(noticed),
        "scale-kill": killed,
    }


def measures(binaries: Binaries, count: int) -> dict[str, Measure | str]:
    """Name → measure, or why there is none."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    need = count + _SPARE_FDS
    if hard != resource.RLIM_INFINITY and hard < need:
        return {"scale": f"{count} children need {need} descriptors, and {hard} are allowed (ulimit -Hn)"}
    if soft != resource.RLIM_INFINITY and soft < need:
        resource.setrlimit(resource.RLIMIT_NOFILE, (need, hard))
    return {"scale": lambda: measure(binaries.child("pause"), count)}
