"""Many children on one epoll."""

from __future__ import annotations

import errno
import json
import os
import signal
from typing import TYPE_CHECKING

import pytest
from programs.alarms import alarms
from programs.compiled import STATIC, compiled, show, tiny
from programs.facts import DEADLINE, eventually, nothing_left, read_shown, sandboxed, state

from raydp_wrap.errors import UsageError
from raydp_wrap.process import PIPE, Process, ProcessSet

if TYPE_CHECKING:
    from pathlib import Path

    from raydp_wrap.model import Exit


def drain(many: ProcessSet) -> dict[int, Exit]:
    ended: dict[int, Exit] = {}
    while len(many):
        new = many.wait(DEADLINE)
        assert new, "someone ends before the deadline"
        assert not ended.keys() & dict(new).keys(), "each end is told once"
        ended.update(new)
    return ended


@pytest.mark.requirement("core-1.3")
def test_every_end_is_told_once() -> None:
    with nothing_left(), ProcessSet() as many:
        codes = {many.spawn([tiny(), str(code % 200)]): code % 200 for code in range(1000)}
        assert len(many) == len(codes) == 1000
        assert {number: exit_.code for number, exit_ in drain(many).items()} == codes
        assert many.wait(0) == []


@pytest.mark.requirement("core-1.3")
def test_ends_come_as_they_happen_and_numbers_are_used_again() -> None:
    with nothing_left(), ProcessSet() as many:
        numbers = [many.spawn([tiny(), "pause"], new_session=True) for _ in range(300)]
        assert os.getsid(many.pid(numbers[7])) == many.pid(numbers[7])
        assert many.wait(0.01) == []
        for number in numbers[::-7]:
            os.kill(many.pid(number), signal.SIGTERM)
            ((ended, exit_),) = many.wait(DEADLINE)
            assert (ended, exit_.signal) == (number, signal.SIGTERM)
        again = [many.spawn([tiny(), "pause"]) for _ in numbers[::-7]]
        assert set(again) == set(numbers[::-7])
        ended = many.kill_all()
        assert sorted(number for number, _ in ended) == sorted(numbers)
        assert {exit_.signal for _, exit_ in ended} == {signal.SIGKILL}
        assert len(many) == 0


@pytest.mark.requirement("core-1.3")
def test_closing_leaves_nobody() -> None:
    with nothing_left():
        many = ProcessSet()
        for _ in range(50):
            many.spawn([tiny(), "pause"])
        many.close()
        many.close()


@pytest.mark.requirement("core-1.3")
def test_signal_handlers_run_while_waiting() -> None:
    with ProcessSet() as many:
        number = many.spawn([tiny(), "pause"])
        ended: list[tuple[int, Exit]] = []
        with alarms(lambda: os.kill(many.pid(number), signal.SIGTERM), 0.01):
            while not ended:
                ended = many.wait(DEADLINE)
        assert [(n, exit_.signal) for n, exit_ in ended] == [(number, signal.SIGTERM)]


@pytest.mark.requirement("core-1.3")
def test_a_status_taken_by_someone_else_is_no_success() -> None:
    with nothing_left(), ProcessSet() as many:
        numbers = [many.spawn([tiny(), "0"]) for _ in range(3)]
        os.waitpid(many.pid(numbers[1]), 0)
        eventually(lambda: all(state(many.pid(numbers[i])) == "Z" for i in (0, 2)), "they have ended")
        with pytest.warns(RuntimeWarning, match="reaped by someone else"):
            codes = {number: exit_.code for number, exit_ in many.wait(DEADLINE)}
        assert codes == {numbers[0]: 0, numbers[1]: 255, numbers[2]: 0}


FULL = """
import json, sys
from programs.facts import nothing_left
from raydp_wrap.errors import StartError
from raydp_wrap.process import PIPE, Process, ProcessSet
with nothing_left():
    many = ProcessSet()
    try:
        many.spawn([sys.argv[1], "pause"])
    except StartError as error:
        print(json.dumps([error.stage, error.errno]))
    assert len(many) == 0
    many.close()
"""


@pytest.mark.requirement("core-1.3", "fault-27")
def test_a_child_that_cannot_be_watched_is_not_left() -> None:
    assert json.loads(sandboxed([("epoll_ctl", errno.ENOSPC, 0)], "-c", FULL, tiny())) == ["clone", errno.ENOSPC]


@pytest.mark.requirement("core-1.3")
def test_a_traced_child_is_told_when_its_tracer_lets_it_go() -> None:
    """Its exit is seen, and only later can it be reaped."""
    with nothing_left(), ProcessSet() as many:
        number = many.spawn([tiny(), "pause"])
        tracer = Process([compiled("hold", *STATIC), str(many.pid(number))], stdin=PIPE, stdout=PIPE)
        assert tracer.stdout is not None
        assert tracer.stdin is not None
        if tracer.stdout.read(1) != b"!":
            tracer.communicate()
            many.kill_all()
            pytest.skip("ptrace is forbidden here")
        os.kill(many.pid(number), signal.SIGTERM)
        eventually(lambda: state(many.pid(number)) == "Z", "it has ended")
        assert many.wait(0.01) == []
        assert len(many) == 1
        tracer.communicate()
        ended: list[tuple[int, Exit]] = []
        eventually(lambda: ended.extend(many.wait(0.1)) or ended, "it is told of")
        assert [(n, exit_.signal) for n, exit_ in ended] == [(number, signal.SIGTERM)]


@pytest.mark.requirement("fault-29", "core-1.1")
def test_the_children_get_clean_signals_and_no_descriptors(tmp_path: Path) -> None:
    leak = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(leak, 1)
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        with ProcessSet() as many:
            many.spawn([show(), str(tmp_path / "out")])
            assert [exit_.code for _, exit_ in many.wait(DEADLINE)] == [0]
    finally:
        signal.signal(signal.SIGUSR1, before)
        os.close(leak)
    got = read_shown(tmp_path / "out")
    assert set(got.fds) == {0, 1, 2}
    assert got.signals("SigIgn") == got.signals("SigBlk") == set()


@pytest.mark.requirement("run-3.1")
@pytest.mark.parametrize("argv", [[], "ls -l", ["ls", "\0"]])
def test_nonsense_is_refused(argv: list[str]) -> None:
    with nothing_left(), ProcessSet() as many, pytest.raises(UsageError):
        many.spawn(argv)
