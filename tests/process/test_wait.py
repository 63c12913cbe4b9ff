"""One reap gives everything there is to know, and waiting costs nothing and can't be fooled."""

from __future__ import annotations

import asyncio
import math
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from programs.alarms import alarms
from programs.compiled import SHARED, compiled, tiny
from programs.facts import DEADLINE, alive, environment, eventually, nothing_left, open_fds, python, state

from raydp_wrap._native import lib
from raydp_wrap.errors import WaitTimeoutError
from raydp_wrap.process import DEVNULL, PIPE, Process

METHODS = [1, 2, 3]


# -- how it ended -----------------------------------------------------------------------------


@pytest.mark.requirement("core-1.3")
@pytest.mark.parametrize("method", METHODS)
def test_every_exit_code(method: int) -> None:
    for code in (0, 1, 2, 126, 127, 128, 254, 255):
        process = Process([tiny(), str(code)], method=method)
        assert process.wait(DEADLINE) == code
        assert process.exit is not None
        assert (process.exit.code, process.exit.signal) == (code, None)


@pytest.mark.requirement("core-1.3")
@pytest.mark.parametrize("number", [1, 2, 9, 15, 34, 64])
def test_every_signal(number: int) -> None:
    process = Process([tiny(), "pause"])
    process.send_signal(number)
    assert process.wait(DEADLINE) == -number
    assert process.exit is not None
    assert (process.exit.code, process.exit.signal, process.exit.core_dumped) == (None, number, False)


@pytest.mark.requirement("core-1.3")
@pytest.mark.skipif(resource.getrlimit(resource.RLIMIT_CORE)[1] == 0, reason="core dumps are forbidden here")
def test_the_core_flag(tmp_path: Path) -> None:
    script = "ulimit -c unlimited; exec " + tiny() + " pause"
    process = Process(["sh", "-c", script], cwd=tmp_path)
    eventually(lambda: os.readlink(f"/proc/{process.pid}/exe") == tiny(), "the program runs")
    process.send_signal(signal.SIGSEGV)
    assert process.wait(DEADLINE) == -signal.SIGSEGV
    assert process.exit is not None
    assert process.exit.core_dumped


@pytest.mark.requirement("core-1.3")
def test_resource_usage_is_the_kernels() -> None:
    program = "import time\nb = bytearray(80 << 20)\nwhile time.process_time() < 0.3: pass"
    ours = Process([sys.executable, "-c", program])
    ours.wait(DEADLINE)
    assert ours.exit is not None
    usage = ours.exit.usage
    assert usage.user_seconds + usage.system_seconds >= 0.3
    assert usage.max_rss >= 80 << 20
    assert usage.minor_faults >= 1000
    assert usage.switches_voluntary + usage.switches_forced > 0


# -- timeouts ---------------------------------------------------------------------------------


@pytest.mark.requirement("core-1.3", "run-3.1")
@pytest.mark.parametrize("method", METHODS)
def test_a_timeout_leaves_the_process_alone(method: int) -> None:
    process = Process([tiny(), "pause"], method=method)
    for timeout in (0, 0.01, -1):
        with pytest.raises(WaitTimeoutError) as late:
            process.wait(timeout)
        assert isinstance(late.value, TimeoutError)
    assert process.poll() is None
    assert process.exit is None
    assert process.returncode is None
    assert alive(process.pid)
    process.kill()
    assert process.wait(DEADLINE) == -9


@pytest.mark.requirement("core-1.3")
@pytest.mark.parametrize("timeout", [1e9, 1e30, math.inf])
def test_a_timeout_beyond_counting(timeout: float) -> None:
    process = Process([tiny(), "pause"])
    threading.Timer(0.01, process.kill).start()
    assert process.wait(timeout) == -9


WALL = """
import sys, time
from raydp_wrap.errors import WaitTimeoutError
from raydp_wrap.process import PIPE, Process, ProcessSet, SocketDirectory
tiny, directory = sys.argv[1:]
seen = [time.time() for _ in range(6)]
assert max(seen) - min(seen) > 300 * 86400, "the wall clock jumps"

def times_out(call, *args):
    try:
        call(*args)
    except WaitTimeoutError:
        return True
    return False

process = Process([tiny, "pause"])
for _ in range(20):
    assert times_out(process.wait, 0.002)
with SocketDirectory(directory) as sockets:
    for _ in range(20):
        assert times_out(sockets.wait, "none", process, 0.002)
assert process.stop(3600).rung.name == "SIGNAL", "the grace is not over at once"
process = Process([tiny, "deaf"], stdout=PIPE)
process.stdout.read(1)
assert process.stop(0.002).rung.name == "KILL", "the grace does not last for a year"
process.stdout.close()
for _ in range(20):
    process = Process(["sh", "-c", "read x; exit 3"], stdin=PIPE)
    assert times_out(process.wait, 0.001)
    process.stdin.close()
    assert process.wait(3600) == 3
    process = Process([tiny, "4"], stdout=PIPE)
    assert process.communicate(timeout=3600) == (b"", b"")
with ProcessSet() as many:
    many.spawn([tiny, "pause"])
    for _ in range(20):
        assert many.wait(0.002) == []
    many.spawn([tiny, "5"])
    assert [exit_.code for _, exit_ in many.wait(3600)] == [5]
"""


@pytest.mark.requirement("fault-22", "core-1.3")
def test_a_wall_clock_that_jumps_by_years_moves_no_timeout(tmp_path: Path) -> None:
    python("-c", WALL, tiny(), str(tmp_path / "s"), env={"LD_PRELOAD": compiled("year_clock", *SHARED)})


@pytest.mark.requirement("fault-22", "core-1.3")
@pytest.mark.skipif(shutil.which("strace") is None, reason="no strace")
def test_no_timeout_is_given_to_the_kernel_by_the_wall_clock(tmp_path: Path) -> None:
    calls = "trace=ppoll,poll,epoll_wait,epoll_pwait,epoll_pwait2,futex,clock_nanosleep,timerfd_create,timerfd_settime"
    program = WALL.replace('assert max(seen) - min(seen) > 300 * 86400, "the wall clock jumps"', "")
    log = tmp_path / "log"
    python("-c", program, tiny(), str(tmp_path / "s"), before=["strace", "-f", "-e", calls, "-o", str(log)])
    lines = log.read_text().splitlines()
    timed = [line for line in lines if "tv_sec" in line]
    assert [line for line in timed if "ppoll(" in line], "relative timeouts, which the kernel counts monotonically"
    assert [line for line in timed if "epoll_pwait2(" in line]
    assert not [line for line in timed if "CLOCK_REALTIME" in line or "ABSTIME" in line]


# -- several waiters, signal handlers -----------------------------------------------------------


@pytest.mark.requirement("core-1.3", "run-3.1")
@pytest.mark.parametrize("method", METHODS)
def test_several_threads_wait_for_one_process(method: int) -> None:
    for _ in range(30):
        process = Process([tiny(), "pause"], method=method)
        codes: list[int] = []
        threads = [threading.Thread(target=(into_wait, into_poll)[i % 2], args=(process, codes)) for i in range(6)]
        for thread in threads:
            thread.start()
        process.terminate()
        for thread in threads:
            thread.join(DEADLINE)
        assert codes == [-15] * 6
    eventually(lambda: "anon_inode:[eventfd]" not in open_fds().values(), "no eventfd left")


def into_wait(process: Process, codes: list[int]) -> None:
    codes.append(process.wait(DEADLINE))


def into_poll(process: Process, codes: list[int]) -> None:
    while (code := process.poll()) is None:
        pass
    codes.append(code)


@pytest.mark.requirement("core-1.3", "run-3.1")
@pytest.mark.parametrize("method", METHODS)
def test_signal_handlers_run_while_waiting(method: int) -> None:
    process = Process([tiny(), "pause"], method=method)
    seen = []

    def handler() -> None:
        seen.append(process.poll())
        if len(seen) == 5:
            process.terminate()

    with alarms(handler, 0.002, 0.002):
        assert process.wait(DEADLINE) == -15
    assert seen[:5] == [None] * 5


@pytest.mark.requirement("core-1.3")
def test_a_handler_that_raises_ends_the_wait_and_loses_nothing() -> None:
    class EnoughError(Exception):
        pass

    def handler() -> None:
        raise EnoughError

    process = Process([tiny(), "pause"])
    with alarms(handler, 0.005), pytest.raises(EnoughError):
        process.wait()
    process.terminate()
    assert process.wait(DEADLINE) == -15


@pytest.mark.requirement("core-1.3", "run-3.1")
def test_handlers_may_use_the_process_they_interrupt() -> None:
    """At any instruction: no deadlock, no lost status, no descriptor closed twice."""
    current: list[Process] = []

    def handler() -> None:
        if current:
            current[0].poll()
            current[0].send_signal(0)
            current[0].send_signal(0, scope="group")

    with nothing_left(), alarms(handler, 0.0001, 0.00005):
        for number in range(150):
            process = Process([tiny(), "pause"], new_group=True)
            current[:] = [process]
            if number % 3:
                process.terminate()
                assert process.wait(DEADLINE) == -15
            else:
                assert process.stop(DEADLINE, scope="group").signal == 15
            current.clear()


@pytest.mark.requirement("core-1.3")
def test_an_exception_between_reap_and_return_loses_no_status() -> None:
    """A KeyboardInterrupt may come right after the kernel has given the status away."""
    process = Process([tiny(), "9"])
    process._observe(DEADLINE)
    process._reaped()
    assert lib.rd_reap(process._child, process._raw) == 1  # and here comes the exception
    process.terminate()
    assert process.wait(DEADLINE) == 9


PARKED = """
import asyncio, os, sys, threading
from raydp_wrap.process import Process, ProcessSet
tiny = sys.argv[1]
first, second = Process([tiny, "pause"]), Process([tiny, "pause"], method=3)
many = ProcessSet()
number = many.spawn([tiny, "pause"])
async def wait():
    third = Process([tiny, "pause"])
    print(first.pid, second.pid, many.pid(number), third.pid, flush=True)
    await third
threads = [threading.Thread(target=t) for t in (first.wait, second.wait, many.wait, lambda: first.wait(3600))]
for thread in threads:
    thread.start()
asyncio.run(wait())
for thread in threads:
    thread.join()
"""
WINDOW = 0.4


def switches(pid: int) -> dict[str, str]:
    found = {}
    for task in os.listdir(f"/proc/{pid}/task"):
        text = Path(f"/proc/{pid}/task/{task}/status").read_text()
        found[task] = "".join(line for line in text.splitlines(keepends=True) if "ctxt" in line)
    return found


@pytest.mark.requirement("core-1.3")
def test_waiting_is_not_polling() -> None:
    """While nothing happens, no thread that waits is ever woken: its context switches stand still."""
    process = Process([sys.executable, "-c", PARKED, tiny()], env=environment(), stdout=PIPE)
    with process:
        assert process.stdout is not None
        pids = [int(word) for word in process.stdout.readline().split()]
        tasks = f"/proc/{process.pid}/task"
        # main, four waiters, and the one behind the eventfd
        eventually(lambda: len(os.listdir(tasks)) == 6, "every thread runs")
        eventually(lambda: all(_sleeps(f"{tasks}/{task}") for task in os.listdir(tasks)), "every thread sleeps")
        before = switches(process.pid)
        threading.Event().wait(WINDOW)
        assert switches(process.pid) == before
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        assert process.wait(DEADLINE) == 0


def _sleeps(task: str) -> bool:
    text = Path(task, "stat").read_text().rpartition(")")[2].split()[0]
    waiting = Path(task, "wchan").read_text()
    return text == "S" and ("poll" in waiting or "wait" in waiting)


# -- async, communicate -------------------------------------------------------------------------


@pytest.mark.requirement("run-3.1")
@pytest.mark.parametrize("method", METHODS)
def test_async_waiting(method: int) -> None:
    async def main() -> list[int]:
        paused = Process([tiny(), "pause"], method=method)
        others = [Process([tiny(), str(code)], method=method) for code in range(5)]
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(paused.wait_async(), 0.01)
        twice = asyncio.gather(paused.wait_async(), paused.wait_async(), *(other.wait_async() for other in others))
        await asyncio.sleep(0)
        paused.terminate()
        return [*await twice, await paused]

    with nothing_left():
        assert asyncio.run(main()) == [-15, -15, 0, 1, 2, 3, 4, -15]
        eventually(lambda: "anon_inode:[eventfd]" not in open_fds().values(), "no eventfd left")


@pytest.mark.requirement("run-3.1")
def test_communicate() -> None:
    data = os.urandom(1 << 20)
    with nothing_left():
        process = Process(["sh", "-c", "tee /dev/stderr"], stdin=PIPE, stdout=PIPE, stderr=PIPE)
        assert process.communicate(data, DEADLINE) == (data, data)
        assert process.returncode == 0
        # A child that doesn't read what it is given.
        process = Process([tiny(), "3"], stdin=PIPE)
        assert process.communicate(data, DEADLINE) == (b"", b"")
        assert process.returncode == 3
        process = Process([tiny(), "echo"], stdin=PIPE, stdout=PIPE)
        with process:
            with pytest.raises(WaitTimeoutError):
                process.communicate(data, 0.01)
            process.kill()


@pytest.mark.requirement("run-3.1")
def test_leaving_the_context() -> None:
    with nothing_left():
        with Process(["sh", "-c", "read x; exit 5"], stdin=PIPE) as process:
            pass
        assert process.returncode == 5
        with pytest.raises(ZeroDivisionError), Process([tiny(), "pause"], stdout=PIPE) as process:
            raise ZeroDivisionError
        assert process.returncode == -9
        assert "returncode -9" in repr(process)


# -- what others do ------------------------------------------------------------------------------


@pytest.mark.requirement("core-1.3", "run-3.1")
@pytest.mark.parametrize("method", METHODS)
def test_a_status_taken_by_someone_else_is_no_success(method: int) -> None:
    process = Process([tiny(), "0"], method=method)
    os.waitpid(process.pid, 0)
    with pytest.warns(RuntimeWarning, match="reaped by someone else"):
        assert process.wait(DEADLINE) == 255
    process.terminate()
    assert process.stop(0).code == 255
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        # It has to live until it is known: a pid that the kernel reaps at once can't be opened.
        process = Process(["cat"], stdin=PIPE, stdout=DEVNULL, method=method)
        assert process.stdin is not None
        process.stdin.close()
        with pytest.warns(RuntimeWarning, match="reaped by someone else"):
            assert process.wait(DEADLINE) == 255
    finally:
        signal.signal(signal.SIGCHLD, before)


@pytest.mark.requirement("core-1.3")
@pytest.mark.parametrize("method", METHODS)
def test_other_children_are_left_to_their_owner(method: int) -> None:
    other = subprocess.Popen([tiny(), "4"])
    eventually(lambda: state(other.pid) == "Z", "it has ended")
    for code in range(20):
        assert Process([tiny(), str(code)], method=method).wait(DEADLINE) == code
    assert other.wait() == 4


@pytest.mark.requirement("run-3.1")
@pytest.mark.parametrize("method", METHODS)
def test_a_dropped_process_is_reaped_by_a_later_start(method: int) -> None:
    with nothing_left():
        process = Process([tiny(), "pause"], stdout=DEVNULL, method=method)
        pid = process.pid
        with pytest.warns(ResourceWarning, match="dropped while running"):
            del process
        assert alive(pid)
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: state(pid) == "Z", "it has died")
        eventually(lambda: Process([tiny()]).wait(DEADLINE) == 0 and state(pid) == "", "it has been reaped")
        eventually(lambda: "anon_inode:[eventfd]" not in open_fds().values(), "no eventfd left")
