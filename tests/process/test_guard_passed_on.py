"""The record says which signals the driver got with its owner's knowledge, so that nobody takes them for strangers'."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from typing import TYPE_CHECKING

import pytest
from crash.harness import Owner, start_time, strays, until

from raydp_wrap._native import lib
from raydp_wrap.errors import UsageError
from raydp_wrap.model import Cause, Launch
from raydp_wrap.process import Guard, Phase
from raydp_wrap.process import record as records

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.usefixtures("strays"), pytest.mark.requirement("guard-2.8")]
__all__ = ["strays"]

DEAF = ("/bin/sh", "-c", "trap '' HUP INT USR1; echo up; sleep 60")


@contextlib.contextmanager
def deaf(**options: object) -> Iterator[Guard]:
    """A driver that heeds few signals, once it does so."""
    read_end, write_end = os.pipe()
    try:
        with Guard.start(Launch(DEAF), stdout=write_end, **options) as guard:  # type: ignore[arg-type]
            assert os.read(read_end, 3) == b"up\n"
            yield guard
    finally:
        os.close(read_end)
        os.close(write_end)


def state(pid: int) -> str:
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        return file.read().rpartition(")")[2].split()[0]


def is_zombie(pid: int) -> bool:
    return start_time(pid) is None


def test_a_signal_that_ends_the_driver_is_known(tmp_path: Path) -> None:
    path = tmp_path / "record"
    with Guard.start(Launch(("/bin/sleep", "60")), record=path) as guard:
        guard.send_signal(signal.SIGUSR2)
        told = guard.wait(30)
    assert told.driver is not None
    assert told.driver.signal == signal.SIGUSR2
    assert told.passed_on == (signal.SIGUSR2,)
    assert (told.cause, told.stop) == (Cause.NONE, None)
    assert records.read(path) == told
    assert json.loads(path.read_text())["passed_on"] == [signal.SIGUSR2]


def test_one_that_nobody_passed_on_is_not(tmp_path: Path) -> None:
    with Guard.start(Launch(("/bin/sleep", "60")), record=tmp_path / "record") as guard:
        os.kill(guard.pid, signal.SIGHUP)
        told = guard.wait(30)
    assert told.driver is not None
    assert told.driver.signal == signal.SIGHUP
    assert told.passed_on == ()


def test_all_of_them_lowest_first_each_once(tmp_path: Path) -> None:
    with deaf(record=tmp_path / "record") as guard:
        for number in (10, 2, 1, 10):
            guard.send_signal(number)
        guard.note_signal(2)
        guard.note_signal(17)
        guard.send_signal(64)
        told = guard.wait(30)
    assert told.passed_on == (1, 2, 10, 17, 64)
    assert told.driver is not None
    assert told.driver.signal == 64
    assert records.read(tmp_path / "record") == told


def test_a_note_sends_nothing() -> None:
    with Guard.start(Launch(("/bin/sleep", "60"))) as guard:
        guard.note_signal(signal.SIGKILL)
        assert guard.state() is Phase.RUNNING
        guard.stop()
        told = guard.wait(30)
    assert told.driver is not None
    assert told.driver.signal == signal.SIGTERM
    assert told.passed_on == (signal.SIGKILL,)


def test_what_any_owner_passed_on_counts(tmp_path: Path) -> None:
    with deaf(detached=True, record=tmp_path / "record", socket=tmp_path / "socket") as guard:
        with Guard.connect(tmp_path / "socket") as other:
            other.send_signal(1)
            other.note_signal(2)
            assert other.state() is Phase.RUNNING
        guard.stop()
        assert guard.wait(30).passed_on == (1, 2)
        assert guard._process is not None
        guard._process.wait(30)


def test_a_driver_that_has_ended_is_passed_nothing() -> None:
    """Not yet reaped, or reaped with its tree left: what ended it came from elsewhere. A note still counts."""
    with Guard.start(Launch(("/bin/sleep", "60"))) as guard:
        os.kill(guard.guard_pid, signal.SIGSTOP)
        os.kill(guard.pid, signal.SIGHUP)
        until(lambda: is_zombie(guard.pid), "the driver has ended")
        guard.send_signal(signal.SIGHUP)
        os.kill(guard.guard_pid, signal.SIGCONT)
        assert guard.wait(30).passed_on == ()
    script = "trap '' TERM; sleep 60 & exit 3"
    with Guard.start(Launch(("/bin/sh", "-c", script)), grace=60, sweep_grace=60) as guard:
        until(lambda: guard.state() is Phase.SWEEPING, "the driver has ended")
        guard.send_signal(1)
        guard.note_signal(2)
        guard.stop(grace=0)
        assert guard.wait(30).passed_on == (2,)


def test_a_note_after_the_record_is_in_what_is_told(tmp_path: Path) -> None:
    path = tmp_path / "record"
    with Guard.start(Launch(("/bin/true",)), record=path, on_owner_death=("/bin/false",)) as guard:
        until(path.exists, "the record")
        guard.note_signal(2)
        assert guard.wait(30).passed_on == (2,)
    found = records.read(path)
    assert found is not None
    assert found.passed_on == ()


@pytest.mark.parametrize("driver", ["lives", "has ended", "has ended, and the guard is held up"])
def test_the_delivery_is_told_of_a_note(tmp_path: Path, driver: str) -> None:
    record, delivered = tmp_path / "record", tmp_path / "delivered"
    command = ["/bin/sh", "-c", 'cat > "$0.part"; mv "$0.part" "$0"', str(delivered)]
    start = {"on_owner_death": command, "record": str(record)}
    argv = ["/bin/sleep", "60"] if driver == "lives" else ["/bin/true"]
    owner = Owner({"argv": argv, "start": start, "then": ["note"]})
    owner.started()
    if driver != "lives":
        until(record.exists, "the record")
    held = driver.endswith("held up")
    if held:  # it finds the note behind its owner's death, who has not read of the end
        until(lambda: state(owner.guard) == "S", "the guard has told, and waits")
        os.kill(owner.guard, signal.SIGSTOP)
        until(lambda: state(owner.guard) == "T", "the guard is held up")
    owner.go()
    assert owner.line()["noted"]
    owner.kill()
    if held:
        os.kill(owner.guard, signal.SIGCONT)
    until(delivered.exists, "the delivery")
    assert records.parse(delivered.read_bytes()).passed_on == (2,)


def test_what_a_lost_guard_was_asked_still_counts() -> None:
    with deaf() as guard:
        guard.send_signal(1)
        guard.note_signal(2)
        assert guard.state() is Phase.RUNNING
        os.kill(guard.guard_pid, signal.SIGKILL)
        told = guard.wait(30)
    assert told.cause is Cause.GUARD_LOST
    assert told.passed_on == (1, 2)


@pytest.mark.parametrize("number", [0, -1, 65, 2**31 - 1])
def test_what_is_no_signal_is_refused(number: int) -> None:
    with deaf() as guard:
        for method in (guard.send_signal, guard.note_signal):
            with pytest.raises(UsageError):
                method(number)
        for kind in (lib.RD_ASK_SIGNAL, lib.RD_ASK_NOTE):
            guard._ask(kind, signal=number)
        assert guard.state() is Phase.RUNNING
        guard.stop()
        assert guard.wait(30).passed_on == ()
