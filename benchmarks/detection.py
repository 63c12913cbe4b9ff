"""A child exits at a random moment: how long until its waiter knows."""

from __future__ import annotations

import os
import subprocess
import time
from typing import TYPE_CHECKING, Any

from benchmarks.stamps import Stamps, random_life
from raydp_wrap._native import ffi, lib
from raydp_wrap.process import Process

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.children import Binaries
    from benchmarks.methods import Measure

RAY_POLL = 0.1  # seconds, as Ray's job supervisor sleeps between two looks


def _poll(process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        time.sleep(RAY_POLL)


def _core_wait(process: Process) -> None:
    ret = lib.rd_wait(process._child, -1, ffi.new("rd_exit *"))
    if ret < 0:
        raise OSError(-ret, os.strerror(-ret))


def measures(binaries: Binaries) -> dict[str, Measure | str]:
    """Name → measure, or why there is none."""
    path = binaries.child("late")
    stamps = Stamps()

    def detect(start: Callable[..., Any], wait: Callable[[Any], Any]) -> Measure:
        def measure() -> float:
            process = start([path, random_life()], stdout=stamps.write)
            wait(process)
            known = time.monotonic_ns()
            return known - stamps.next()

        return measure

    def detect_core() -> float:
        process = Process([path, random_life()], stdout=stamps.write)
        _core_wait(process)
        known = time.monotonic_ns()
        os.close(process._child.fd)
        process._child = None  # reaped behind its back
        return known - stamps.next()

    return {
        "detect-core": detect_core,
        "detect-process": detect(Process, Process.wait),
        "detect-popen": detect(subprocess.Popen, subprocess.Popen.wait),
        "detect-popen-timeout": detect(subprocess.Popen, lambda process: process.wait(timeout=30)),
        "detect-poll": detect(subprocess.Popen, _poll),
    }
