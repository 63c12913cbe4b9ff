"""Exceptions of signal handlers at any moment: no child is lost, none survives unknown."""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import select
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from conftest import children
from programs.alarms import alarms
from programs.compiled import tiny
from programs.facts import DEADLINE, eventually, nothing_left, state

from raydp_wrap.model import Launch
from raydp_wrap.process import Guard, Process, ProcessSet, _core, many, spawn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType, ModuleType

    from raydp_wrap.model import Exit


class Interrupted(Exception):  # noqa: N818 - what a handler raises is no error
    pass


def interrupt() -> None:
    raise Interrupted


@contextlib.contextmanager
def interrupted_at(moment: int, *modules: ModuleType) -> Iterator[None]:
    """As by a signal handler, at the MOMENTth time that Python looks for signals in the code of MODULES.

    CPython does so where a function begins, after each call, and where a loop goes back; the profiler sees the
    first two. What a wait returns is out of its hands.
    """
    files = {module.__file__ for module in modules}
    moments = itertools.count()

    def watch(frame: FrameType, event: str, _: object) -> None:
        if event == "c_call" or (event == "return" and frame.f_code.co_name == "wait"):
            return
        at = frame.f_back if event == "return" else frame
        if at is not None and at.f_code.co_filename in files and next(moments) == moment:
            raise Interrupted

    sys.setprofile(watch)
    try:
        yield
    finally:
        sys.setprofile(None)


def at_every_moment(act: Callable[[int], bool]) -> int:
    """ACT, interrupted at the first moment, at the second, ..., until it says that it wasn't; how many there are."""
    for moment in itertools.count():
        with nothing_left():
            if not act(moment):
                return moment
    raise AssertionError


def end_abandoned() -> None:
    for child in list(spawn._abandoned):
        os.kill(child.pid, signal.SIGKILL)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    spawn._reap_abandoned()


@pytest.mark.requirement("core-1.1", "run-3.1")
def test_a_start_that_is_interrupted_anywhere_leaves_nothing() -> None:
    def act(moment: int) -> bool:
        try:
            with interrupted_at(moment, spawn, _core):
                process = Process([tiny(), "pause"])
        except Interrupted:
            assert spawn._abandoned == []
            return True
        process.stop(grace=0.0)
        return False

    assert at_every_moment(act) > 10


@pytest.mark.requirement("core-1.1", "run-3.1")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_start_that_is_interrupted_leaves_no_child() -> None:
    before = set(children(os.getpid()))
    interrupted = 0
    with alarms(interrupt) as alarm:
        for number in range(200):
            process = None
            try:
                alarm.set(0.00002 + number * 0.000004)
                process = Process(["sleep", "1000"])
                alarm.set(0)
            except Interrupted:
                interrupted += 1
            if process is not None:
                process.stop(grace=0.0)
            # One interrupted on its way back to us has been dropped by us, as any object would be, and is known of.
            dropped = {child.pid for child in spawn._abandoned}
            assert set(children(os.getpid())) - dropped == before
            end_abandoned()
    assert interrupted


def with_three(moment: int, act: Callable[[ProcessSet], list[tuple[int, Exit]]], state_before: str) -> bool:
    """Three children, ACT interrupted, and then every end told once by later waits."""
    with ProcessSet() as ends:
        codes = {ends.spawn([tiny(), "pause" if state_before == "S" else str(code)]): code for code in (3, 4, 5)}
        eventually(lambda: {state(ends.pid(number)) for number in codes} == {state_before}, "they sleep, or have ended")
        told: list[tuple[int, Exit]] = []
        hit = False
        try:
            with interrupted_at(moment, many, _core):
                told = act(ends)
        except Interrupted:
            hit = True
            assert len(ends) == 3, "none is reported"
            other = ends.spawn([tiny(), "6"])
            assert other not in codes, "a number is used again when its end has been told, not before"
            codes[other] = 6
            if state_before == "S":
                told = ends.kill_all()
        while len(ends):
            told += ends.wait(DEADLINE)
        assert sorted(number for number, _ in told) == sorted(codes)
        for number, exit_ in told:
            if state_before == "S":
                assert exit_.signal == signal.SIGKILL or codes[number] == exit_.code == 6
            else:
                assert exit_.code == codes[number]
        again = [ends.spawn([tiny(), "0"]) for _ in codes]
        assert sorted(again) == sorted(codes), "their numbers are free again"
    return hit


@pytest.mark.requirement("core-1.3")
def test_a_wait_that_is_interrupted_anywhere_loses_no_end() -> None:
    assert at_every_moment(lambda moment: with_three(moment, lambda ends: ends.wait(DEADLINE), "Z")) > 20


@pytest.mark.requirement("core-1.3")
def test_killing_all_that_is_interrupted_anywhere_loses_no_end() -> None:
    assert at_every_moment(lambda moment: with_three(moment, ProcessSet.kill_all, "S")) > 20


@pytest.mark.requirement("core-1.3")
def test_a_wait_that_is_interrupted_twice_loses_no_end() -> None:
    """The second time while it makes good for the first."""

    def twice(first: int, second: int) -> tuple[bool, bool]:
        hits = []
        with ProcessSet() as ends:
            number = ends.spawn([tiny(), "3"])
            eventually(lambda: state(ends.pid(number)) == "Z", "it has ended")
            told: list[tuple[int, Exit]] = []
            for moment in (first, second):
                try:
                    with interrupted_at(moment, many, _core):
                        told += ends.wait(DEADLINE) if len(ends) else []
                    hits.append(False)
                except Interrupted:
                    hits.append(True)
            while len(ends):
                told += ends.wait(DEADLINE)
            assert [(n, exit_.code) for n, exit_ in told] == [(number, 3)]
        return hits[0], hits[1]

    def act(first: int) -> bool:
        for second in itertools.count():
            hit = twice(first, second)
            if not hit[1]:
                return hit[0]
        raise AssertionError

    assert at_every_moment(act) > 10


@pytest.mark.requirement("core-1.3")
def test_a_wait_that_signals_interrupt_loses_no_end() -> None:
    """Real ones, while it sleeps and while it works. What it has returned is ours, whatever is raised next."""
    interrupted = 0
    with alarms(interrupt) as alarm:
        for number in range(30):
            ended: list[int] = []
            with ProcessSet() as ends:
                started = [ends.spawn([tiny(), "3"]) for _ in range(20)]
                while len(ends):
                    found: list[tuple[int, Exit]] = []
                    try:
                        alarm.set(0.00002 + number * 0.00002)
                        found = ends.wait(DEADLINE)
                        alarm.set(0)
                    except Interrupted:
                        interrupted += 1
                    assert {exit_.code for _, exit_ in found} <= {3}
                    ended += [child for child, _ in found]
            assert len(set(ended)) == len(ended)
            assert set(ended) <= set(started)
            if sys.version_info >= (3, 11):  # before, a handler may run between a return and what follows it
                assert len(ended) == len(started)
    assert interrupted


@pytest.mark.requirement("guard-2.2")
@pytest.mark.filterwarnings("ignore:process .* was dropped:ResourceWarning")  # its guard's, if that still runs
def test_a_guard_that_is_dropped_ends_its_job() -> None:
    guard = Guard.start(Launch(("sleep", "1000")))
    driver = os.pidfd_open(guard.pid)
    with pytest.warns(ResourceWarning, match="dropped"):  # noqa: PT031 - which of the two does it is Python's choice
        del guard
        gc.collect()
    assert select.select([driver], [], [], 30)[0], "the driver lives on"
    os.close(driver)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Process(["true"]).wait()  # reaps what was abandoned
    for child in children(os.getpid()):
        if Path(f"/proc/{child}/comm").read_text().strip() == "raydp-guard":
            os.waitpid(child, 0)


@pytest.mark.requirement("run-3.1")
def test_a_fork_that_leaves_the_block_leaves_the_process_alone() -> None:
    code = """
import os, sys
from raydp_wrap.process import Process
with Process(["sleep", "1000"]) as process:
    child = os.fork()
    if not child:
        sys.exit()
    os.waitpid(child, 0)
    print(process.poll(), flush=True)
    process.kill()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == "None\n", done.stderr


@pytest.mark.requirement("core-1.1")
@pytest.mark.parametrize("how", ["process", "guard"])
def test_a_path_through_a_descriptor_is_followed(tmp_path: Path, how: str) -> None:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    out = tmp_path / "out"
    try:
        with out.open("wb") as stdout:
            if how == "process":
                assert Process(["pwd", "-P"], cwd=f"/proc/self/fd/{fd}", stdout=stdout).wait() == 0
            else:
                with Guard.start(Launch(("pwd", "-P"), cwd=f"/proc/self/fd/{fd}"), stdout=stdout) as guard:
                    guard.wait()
    finally:
        os.close(fd)
    assert out.read_text() == f"{os.path.realpath(tmp_path)}\n"


@pytest.mark.requirement("run-3.2", "guard-2.2")
def test_a_signal_is_the_drivers_not_its_workers(tmp_path: Path) -> None:
    """A request to stop lets a driver see its workers through; what it leaves is ended after it."""
    script = "trap 'wait $w; echo worker $?; exit 0' TERM; (trap '' INT; sleep 0.3; exit 7) & w=$!; echo up; wait $w"
    out = tmp_path / "out"
    out.touch()
    with out.open("wb") as stdout, Guard.start(Launch(("bash", "-c", script)), stdout=stdout) as guard:
        while "up" not in out.read_text():
            os.sched_yield()
        guard.stop()
        record = guard.wait(60)
    assert out.read_text() == "up\nworker 7\n"
    assert record.driver is not None
    assert record.driver.code == 0
