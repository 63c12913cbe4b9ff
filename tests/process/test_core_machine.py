"""Any order of start, look, wait, signal, stop and drop: no zombie, no descriptor left, one stable returncode."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule
from programs.compiled import tiny
from programs.facts import DEADLINE, alive, eventually, open_fds, state

from raydp_wrap.errors import StartError, WaitTimeoutError
from raydp_wrap.process import DEVNULL, PIPE, Process
from raydp_wrap.process import spawn as spawn_module

SIGNALS = [signal.SIGTERM, signal.SIGKILL, signal.SIGSTOP, signal.SIGCONT, signal.SIGUSR1, 0]
FATAL = {signal.SIGTERM, signal.SIGKILL, signal.SIGUSR1}


def descriptors() -> list[str]:
    # A watching thread holds its copy of the eventfd a moment longer than the process lives.
    return sorted(target for target in open_fds().values() if "eventfd" not in target)


class Life(RuleBasedStateMachine):
    """Real processes; the model is what each may have ended with."""

    numbers = Bundle("numbers")

    def __init__(self) -> None:
        super().__init__()
        gc.collect()  # what an earlier test left to the collector would be missed later
        self.before = descriptors()
        # By number: hypothesis keeps what it is given, and a dropped process must have no reference left.
        self.known: dict[int, Process] = {}
        self.may: dict[int, set[int]] = {}
        self.ended: dict[int, int] = {}
        self.pids: dict[int, int] = {}
        self.dropped: set[int] = set()

    @rule(
        target=numbers,
        program=st.sampled_from(["0", "7", "pause", "deaf"]),
        method=st.sampled_from([0, 1, 2, 3]),
        place=st.sampled_from(["", "new_group", "new_session"]),
        stdout=st.sampled_from([PIPE, DEVNULL]),
    )
    def start(self, program: str, method: int, place: str, stdout: int) -> int:
        options = {place: True} if place else {}
        process = Process([tiny(), program], method=method, stdout=stdout, **options)  # type: ignore[arg-type]
        number = len(self.pids)
        self.known[number] = process
        self.pids[number] = process.pid
        self.may[number] = {int(program)} if program.isdigit() else set()
        return number

    @rule(method=st.sampled_from([0, 1, 2, 3]))
    def fail_to_start(self, method: int) -> None:
        with pytest.raises(StartError):
            Process(["/nowhere/program"], method=method, stdin=PIPE, stdout=PIPE)

    @rule(number=numbers)
    def poll(self, number: int) -> None:
        self.saw(number, self.known[number].poll())

    @rule(number=numbers, timeout=st.sampled_from([0, 0.001, 0.005]))
    def wait(self, number: int, timeout: float) -> None:
        try:
            self.saw(number, self.known[number].wait(timeout))
        except WaitTimeoutError:
            assert number not in self.ended

    @rule(number=numbers)
    def wait_async(self, number: int) -> None:
        async def main() -> int | None:
            with contextlib.suppress(asyncio.TimeoutError):
                return await asyncio.wait_for(self.known[number].wait_async(), 0.002)
            return None

        self.saw(number, asyncio.run(main()))

    @rule(number=numbers, signal_number=st.sampled_from(SIGNALS))
    def send(self, number: int, signal_number: int) -> None:
        self.known[number].send_signal(signal_number)
        if signal_number in FATAL:
            self.may[number].add(-signal_number)

    @rule(number=numbers, grace=st.sampled_from([0, 0.001]), scope=st.sampled_from(["process", "group"]))
    def stop(self, number: int, grace: float, scope: str) -> None:
        process, pid = self.known[number], self.pids[number]
        if process.exit is None and os.getpgid(pid) != pid:
            scope = "process"  # no group of its own
        self.may[number] |= {-signal.SIGTERM, -signal.SIGKILL}
        self.saw(number, process.stop(grace, scope=scope).returncode)  # type: ignore[arg-type]

    @rule(number=consumes(numbers))
    def drop(self, number: int) -> None:
        process = self.known.pop(number)
        self.dropped.add(number)
        if process.stdout is not None:
            process.stdout.close()

    def saw(self, number: int, code: int | None) -> None:
        process = self.known[number]
        assert process.returncode == code
        if code is None:
            assert number not in self.ended
            return
        assert code in self.may[number]
        assert self.ended.setdefault(number, code) == code
        assert process.exit is not None
        assert process.exit.returncode == code

    @invariant()
    def what_has_ended_is_reaped_and_stays_ended(self) -> None:
        for number, code in self.ended.items():
            if number in self.known:
                process = self.known[number]
                assert process.returncode == process.poll() == code
                assert process.fileno() == -1

    def teardown(self) -> None:
        for number, process in self.known.items():
            self.may[number].add(-signal.SIGKILL)
            process.kill()
            self.saw(number, process.wait(DEADLINE))
            if process.stdout is not None:
                process.stdout.close()
        for number in self.dropped - self.ended.keys():
            pid = self.pids[number]
            if state(pid):
                os.kill(pid, signal.SIGKILL)  # ours, and unreaped
                eventually(lambda pid=pid: not alive(pid), "it has died")
        Process([tiny()]).wait(DEADLINE)
        assert spawn_module._abandoned == []
        assert [pid for pid in self.pids.values() if state(pid)] == []
        assert descriptors() == self.before


Life.TestCase.settings = settings(
    max_examples=80,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
test_any_order = pytest.mark.requirement("core-1.3", "core-1.4", "run-3.1")(
    pytest.mark.filterwarnings("ignore::ResourceWarning")(Life.TestCase)
)
