"""Exceptions of signal handlers at any moment: no child is lost, none survives unknown."""

from __future__ import annotations

import gc
import os
import select
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from raydp_wrap.model import Launch
from raydp_wrap.process import Guard, Process, ProcessSet, spawn

if TYPE_CHECKING:
    from collections.abc import Iterator

from conftest import children


class Interrupted(Exception):  # noqa: N818 - what a handler raises is no error
    pass


@pytest.fixture
def alarm() -> Iterator[None]:
    def interrupt(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.requirement("core-1.1", "run-3.1")
@pytest.mark.usefixtures("alarm")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_start_that_is_interrupted_leaves_no_child() -> None:
    before = set(children(os.getpid()))
    interrupted = 0
    for number in range(200):
        process = None
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.00002 + number * 0.000004)
            process = Process(["sleep", "1000"])
            signal.setitimer(signal.ITIMER_REAL, 0)
        except Interrupted:
            interrupted += 1
        if process is not None:
            process.stop(grace=0.0)
        # One interrupted on its way back to us has been dropped by us, as any object would be, and is known of.
        dropped = {child.pid for child in spawn._abandoned}
        assert set(children(os.getpid())) - dropped == before
        for child in list(spawn._abandoned):
            os.kill(child.pid, signal.SIGKILL)
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        spawn._reap_abandoned()
    assert interrupted


@pytest.mark.requirement("core-1.3")
@pytest.mark.usefixtures("alarm")
def test_a_wait_that_is_interrupted_hangs_no_later_one() -> None:
    # What a wait returns while the handler raises is lost to its caller, as with any call; nothing else is.
    for number in range(30):
        ended: list[int] = []
        with ProcessSet() as many:
            started = [many.spawn(["sh", "-c", "exit 3"]) for _ in range(20)]
            while len(many) or many._ended:
                try:
                    signal.setitimer(signal.ITIMER_REAL, 0.0001 + number * 0.00005)
                    found = many.wait(10)
                    signal.setitimer(signal.ITIMER_REAL, 0)
                except Interrupted:
                    continue
                assert {exit_.code for _, exit_ in found} <= {3}
                ended += [child for child, _ in found]
        assert len(ended) == len(set(ended))
        assert set(ended) <= set(started)


@pytest.mark.requirement("guard-2.2")
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
