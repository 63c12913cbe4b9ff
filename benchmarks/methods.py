"""Start the child that exits at once, and wait for it: every way there is, each returning nanoseconds."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import time
import warnings
from typing import TYPE_CHECKING, Any

from raydp_wrap._native import ffi, lib
from raydp_wrap.process import Process

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.children import Binaries

    Measure = Callable[[], "float | dict[str, float]"]


def timed(call: Callable[[], Any]) -> Measure:
    """CALL's duration."""

    def measure() -> float:
        began = time.perf_counter_ns()
        call()
        return time.perf_counter_ns() - began

    return measure


def _inside(binaries: Binaries, name: str) -> Measure:
    """A function that is timed in C, so that the call from Python costs nothing."""
    function = ctypes.CDLL(binaries.inside)[name]
    function.argtypes, function.restype = [ctypes.c_char_p], ctypes.c_int64
    path = os.fsencode(binaries.child("exit"))

    def measure() -> float:
        took = function(path)
        if took < 0:
            raise OSError(-took, os.strerror(-took))
        return took

    return measure


def _cffi(path: str) -> Measure:
    """One call of rd_run, every feature, as native/timed.h makes it from C."""
    text = ffi.new("char[]", os.fsencode(path))
    spec = ffi.new("rd_spec *")
    spec.size = ffi.sizeof("rd_spec")
    spec.flags = lib.RD_NEW_SESSION
    spec.death_signal = signal.SIGKILL
    spec.executable = spec.argv = text
    spec.argv_len = len(text)
    spec.cgroup_fd = -1
    spec.keep_ignored = 1 << (signal.SIGHUP - 1)
    child, end = ffi.new("rd_child *"), ffi.new("rd_exit *")

    def call() -> None:
        ret = lib.rd_run(spec, -1, child, end)
        if ret < 0:
            raise OSError(-ret, os.strerror(-ret))
        os.close(child.fd)

    measure = timed(call)
    measure.keep = text  # type: ignore[attr-defined] - spec only points at it
    return measure


def _posix_spawn(path: str) -> None:
    os.waitpid(os.posix_spawn(path, [path], os.environ), 0)


def _nothing() -> None:
    """A preexec_fn."""


def _asyncio(path: str, kind: str) -> Measure | str:
    """A start on a loop that is there already, with one of asyncio's two watchers."""
    chosen: Any = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        watcher = getattr(asyncio, kind, None)
        if watcher is not None:
            chosen = watcher()
        elif kind != "PidfdChildWatcher":
            return f"Python {sys.version_info[0]}.{sys.version_info[1]} offers no {kind}"
    loop = asyncio.new_event_loop()

    async def run() -> None:
        await (await asyncio.create_subprocess_exec(path)).wait()

    def measure() -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            if chosen is not None:
                asyncio.set_child_watcher(chosen)
                chosen.attach_loop(loop)
        began = time.perf_counter_ns()
        loop.run_until_complete(run())
        return time.perf_counter_ns() - began

    return measure


def warm(measure: Measure) -> Measure:
    """MEASURE right after itself: what the other methods left in the caches is no part of it."""

    def second() -> float:
        measure()
        return measure()

    return second


def measures(binaries: Binaries) -> dict[str, Measure | str]:
    """Name → measure, or why there is none."""
    path = binaries.child("exit")
    found: dict[str, Measure | str] = {
        "c-vfork": _inside(binaries, "bench_vfork"),
        "c-all": _inside(binaries, "bench_run"),
        "cffi": _cffi(path),
        "process": timed(lambda: Process([path]).wait()),
        "process-all": timed(lambda: Process([path], new_session=True, death_signal=signal.SIGKILL).wait()),
        "popen": timed(lambda: subprocess.Popen([path]).wait()),
        "popen-session": timed(lambda: subprocess.Popen([path], start_new_session=True).wait()),
        "popen-shell": timed(lambda: subprocess.Popen(path, shell=True).wait()),
        "popen-preexec": timed(lambda: subprocess.Popen([path], preexec_fn=_nothing).wait()),  # noqa: PLW1509
        "posix-spawn": timed(lambda: _posix_spawn(path)),
        "asyncio-pidfd": _asyncio(path, "PidfdChildWatcher"),
        "asyncio-thread": _asyncio(path, "ThreadedChildWatcher"),
    }
    try:
        import psutil  # noqa: PLC0415 - may be missing
    except ImportError:
        found["psutil"] = "psutil is not installed"
    else:
        found["psutil"] = timed(lambda: psutil.Popen([path]).wait())
    return {name: measure if isinstance(measure, str) else warm(measure) for name, measure in found.items()}
