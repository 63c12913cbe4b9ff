"""Stops: who asked, how far the ladder went, what can't be ended, and every race with the end itself."""

from __future__ import annotations

import contextlib
import math
import os
import random
import shlex
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from crash.harness import (
    Owner,
    Ready,
    Tree,
    compiled,
    kill_quietly,
    need,
    need_root,
    open_folder,
    start_time,
    strays,
    until,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from raydp_wrap._native import lib
from raydp_wrap.errors import GuardUnresponsiveError, StopPendingError, WaitTimeoutError
from raydp_wrap.model import Cause, ExitRecord, Launch, Reason, Rung, Submission, TerminalState
from raydp_wrap.outcome import from_record
from raydp_wrap.process import Guard, News, Phase
from raydp_wrap.process import guard as guards
from raydp_wrap.process import record as records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.usefixtures("strays")
__all__ = ["open_folder", "strays"]

STUBBORN = ("/bin/sh", "-c", "trap '' TERM INT; echo ready; while :; do sleep 60; done")


def stubborn(**options: object) -> Guard:
    ready = Ready()
    try:
        guard = Guard.start(Launch(argv=STUBBORN), stdout=ready.write_end, **options)  # type: ignore[arg-type]
        ready.wait()
    finally:
        ready.close()
    return guard


@pytest.mark.requirement("guard-2.5", "fault-7")
def test_the_ladder_ends_in_sigkill() -> None:
    with stubborn(grace=0.05) as guard:
        guard.stop()
        record = guard.wait(30)
    assert record.driver is not None
    assert (record.driver.signal, record.driver.rung) == (signal.SIGKILL, Rung.KILL)
    assert record.cause is Cause.REQUEST


@pytest.mark.requirement("guard-2.5")
@pytest.mark.parametrize("second", [{"grace": 0.05}, {"grace": 0.0}, {"signal": signal.SIGKILL}])
def test_a_second_stop_shortens_the_grace(second: dict[str, float]) -> None:
    with stubborn(grace=3600) as guard:
        guard.stop(label="first")
        guard.stop(label="second", **second)  # type: ignore[arg-type]
        record = guard.wait(30)
    assert record.driver is not None
    assert (record.driver.signal, record.driver.rung) == (signal.SIGKILL, Rung.KILL)
    assert record.stop is not None
    assert record.stop.label == "first"


@pytest.mark.requirement("guard-2.5")
def test_a_second_stop_never_lengthens_the_grace() -> None:
    with stubborn(grace=0.3) as guard:
        guard.stop()
        guard.stop(grace=3600)
        assert guard.wait(30).tree_empty


@pytest.mark.requirement("guard-2.5")
def test_a_grace_past_the_end_of_time_is_not_over_at_once() -> None:
    with stubborn(grace=60) as guard:
        guard.stop(grace=9.2e9)  # nanoseconds that fit; added to now, they don't
        with pytest.raises(WaitTimeoutError):
            guard.wait(0.3)
        guard.stop(grace=0)
        guard.wait(30)


@pytest.mark.requirement("guard-2.5")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_signal_to_the_guard_is_a_stop(number: int) -> None:
    with Guard.start(Launch(argv=("/bin/sleep", "60"))) as guard:
        os.kill(guard.guard_pid, number)
        record = guard.wait(30)
    assert record.cause is Cause.SIGNAL
    assert record.stop is not None
    assert (record.stop.signal, record.stop.pid, record.stop.uid) == (number, os.getpid(), os.getuid())
    assert record.driver is not None
    assert record.driver.signal == number


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_one_that_is_ignored_where_we_were_called_is_a_stop_of_the_guard_all_the_same(number: int) -> None:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with Guard.start(Launch(argv=("/bin/sleep", "60")), keep_ignored=(number,), grace=0.1) as guard:
            assert f"{1 << (number - 1):016x}" in _ignored(guard.pid)
            os.kill(guard.guard_pid, number)
            record = guard.wait(30)
    finally:
        signal.signal(number, before)
    assert record.cause is Cause.SIGNAL
    assert record.driver is not None
    assert record.driver.signal == signal.SIGKILL


def _ignored(pid: int) -> str:
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(line for line in file if line.startswith("SigIgn:"))


@pytest.mark.requirement("guard-2.6", "fault-2")
def test_a_stop_that_was_asked_for_outlives_the_guard() -> None:
    with stubborn(grace=60) as guard:
        guard.stop(label="operator")
        kill_quietly(guard.guard_pid)
        until(lambda: start_time(guard.pid) is None, "the driver dies with its guard, before anybody sweeps")
        record = guard.wait(30)
    assert record.cause is Cause.GUARD_LOST
    assert record.driver is None
    assert record.stop is not None
    assert record.stop.label == "operator"


@pytest.mark.requirement("fault-9")
def test_a_stop_that_comes_after_the_end_is_no_cause() -> None:
    """Both wait for the guard at once: the driver's own exit, the stop and the deadline."""
    read_end, write_end = os.pipe()
    launch = Launch(argv=("/bin/sh", "-c", "read x; exit 6"))
    with Guard.start(launch, stdin=read_end, active_deadline=0.2) as guard:
        os.close(read_end)
        os.kill(guard.guard_pid, signal.SIGSTOP)
        os.close(write_end)
        until(lambda: start_time(guard.pid) is None, "the driver has exited")
        with pytest.raises(WaitTimeoutError):
            guard.wait(0.3)  # the deadline passes meanwhile
        guard.stop()  # which lets the guard go on, too
        record = guard.wait(30)
    assert record.cause is Cause.NONE
    assert record.stop is None
    assert record.driver is not None
    assert record.driver.code == 6


def stop_at_random(times: int) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    seen = dict.fromkeys(Cause, 0)
    for number in range(times):
        deadline = 0.001 + rng.random() * 0.004 if number % 3 == 0 else None
        with Guard.start(
            Launch(argv=("/bin/sh", "-c", "exit 1")), active_deadline=deadline, containment="tree"
        ) as guard:
            at = time.perf_counter() + rng.random() * 0.004
            while time.perf_counter() < at:
                pass
            guard.stop(grace=rng.choice((0.0, 0.001, 5.0)))
            record = guard.wait(30)
        assert record.driver is not None, record
        assert record.driver.returncode in (1, -9, -15), record
        assert record.cause in (Cause.NONE, Cause.REQUEST, Cause.ACTIVE_DEADLINE), record
        if record.cause is Cause.NONE:
            assert record.driver.returncode == 1
            assert record.stop is None
        if record.driver.signal:
            assert record.stop is not None
        seen[record.cause] += 1
    print({cause.name: count for cause, count in seen.items() if count})
    assert seen[Cause.NONE]
    assert seen[Cause.REQUEST]


@pytest.mark.requirement("fault-9")
def test_300_jobs_that_fail_while_they_are_stopped() -> None:
    stop_at_random(300)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.requirement("fault-9")
def test_10000_jobs_that_fail_while_they_are_stopped() -> None:
    stop_at_random(10000)


def flood(guard: Guard) -> None:
    for _ in range(2000):  # more than its queue holds
        guard.ready()


@pytest.mark.requirement("fault-11")
def test_a_stopped_guard_does_not_answer_and_nothing_hangs() -> None:
    with stubborn(grace=0.05, sweep_grace=0.05) as guard:
        os.kill(guard.guard_pid, signal.SIGSTOP)
        with pytest.raises(GuardUnresponsiveError):
            guard.state(0.2)
        with pytest.raises(WaitTimeoutError):
            guard.wait(0.2)
        with pytest.raises(GuardUnresponsiveError):
            flood(guard)
        os.kill(guard.guard_pid, signal.SIGCONT)
        assert guard.state() is Phase.RUNNING
        os.kill(guard.guard_pid, signal.SIGSTOP)
    assert not os.path.exists(f"/proc/{guard.pid}/exe"), "close ends the tree of a stopped guard too"


# ---- a delay before the first signal, and an end that is forced ---------------------------------

FAR = 3600.0  # so long that it is never over
PROBE = signal.SIGURG  # a higher number than TERM: of two that wait, the driver tells TERM first


class Telling:
    """A driver that tells each signal it gets (programs/tells.c), under a guard."""

    def __init__(self, how: str = "deaf", **options: object) -> None:
        self.said = Ready()
        argv = (compiled("tells.c"), how)
        self.guard = Guard.start(Launch(argv), stdout=self.said.write_end, **options)  # type: ignore[arg-type]
        self.said.wait()

    def has_seen_term(self) -> bool:
        """Whether it has, of all that was sent before this call. It lives."""
        self.guard.send_signal(PROBE)
        self.said.wait(b"%d\n" % PROBE)
        seen = b"\n%d\n" % signal.SIGTERM in self.said._seen
        self.said._seen = b"\n" if not seen else b"\n%d\n" % signal.SIGTERM
        return seen

    def __enter__(self) -> Telling:  # noqa: PYI034 - typing.Self came with 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self.guard.close()
        self.said.close()


def ends(record: ExitRecord) -> tuple[int | None, int | None, Rung, Cause]:
    assert record.driver is not None
    assert record.tree_empty
    return record.driver.code, record.driver.signal, record.driver.rung, record.cause


HEEDED = (3, None, Rung.SIGNAL, Cause.REQUEST)
KILLED = (None, signal.SIGKILL, Rung.KILL, Cause.REQUEST)


@pytest.mark.requirement("stop-delay")
def test_the_first_signal_comes_after_the_delay() -> None:
    with Telling("heeds", grace=60) as driver:
        driver.guard.stop(delay=FAR, label="first")
        told = driver.guard.read()
        assert told is not None
        assert (told.news, told.phase) == (News.STOPPING, Phase.STOPPING)
        assert not driver.has_seen_term()
        driver.guard.stop(label="second")
        record = driver.guard.wait(30)
    assert ends(record) == HEEDED
    assert record.stop is not None
    assert record.stop.label == "first"


@pytest.mark.requirement("stop-delay")
@pytest.mark.parametrize("delay", [0.0, -1.0, -math.inf, math.nan, 0.05])
def test_a_delay_that_is_over_is_followed_by_the_signal(delay: float) -> None:
    with Telling("heeds", grace=60) as driver:
        driver.guard.stop(delay=delay)
        assert ends(driver.guard.wait(30)) == HEEDED


@pytest.mark.requirement("stop-delay")
def test_a_negative_delay_from_anybody_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    send = lib.rd_channel_send

    def malformed(channel: int, ask: Any, size: int) -> int:
        ask.delay_ms = -(2**31)
        return int(send(channel, ask, size))

    with Telling("heeds", grace=60) as driver:
        monkeypatch.setattr(guards, "lib", SimpleNamespace(**{name: getattr(lib, name) for name in dir(lib)}))
        monkeypatch.setattr(guards.lib, "rd_channel_send", malformed)
        driver.guard.stop(delay=FAR)
        assert ends(driver.guard.wait(30)) == HEEDED


@pytest.mark.requirement("stop-delay")
@pytest.mark.parametrize("delay", [math.inf, 1e300])
def test_a_delay_past_the_end_of_time_is_not_over_at_once(delay: float) -> None:
    with Telling("heeds", grace=9.2e9) as driver:
        driver.guard.stop(delay=delay)
        assert not driver.has_seen_term()
        driver.guard.stop()
        assert ends(driver.guard.wait(30)) == HEEDED


@pytest.mark.requirement("stop-delay", "outcome-1.5")
def test_a_driver_that_ends_within_the_delay_was_stopped() -> None:
    leaves = f"{shlex.join(STUBBORN)} & exec {compiled('tells.c')} heeds"
    said = Ready()
    guard = Guard.start(Launch(("/bin/sh", "-c", leaves)), stdout=said.write_end, grace=60, sweep_grace=0.05)
    with guard:
        said.wait(b"ready\nready\n")
        guard.stop(delay=FAR)
        guard.send_signal(signal.SIGUSR2)
        record = guard.wait(30)  # what it left behind isn't given the delay either
        said.wait_eof()
    said.close()
    assert ends(record) == (0, None, Rung.NONE, Cause.REQUEST)
    outcome = from_record(record, Submission("s", "n", 1.0))
    assert (outcome.state, outcome.reason) == (TerminalState.KILLED, Reason.STOP_REQUESTED)
    assert outcome.exit_code != 0


def children_of(pid: int) -> set[int]:
    return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


@pytest.mark.requirement("stop-delay")
def test_nobody_else_of_the_tree_is_asked_before_the_delay_is_over() -> None:
    tells = f"exec {compiled('tells.c')}"
    said = Ready()
    script = f"({tells} deaf &); {tells} heeds"
    with Guard.start(Launch(("/bin/sh", "-c", script)), stdout=said.write_end, grace=60, sweep_grace=0.05) as guard:
        said.wait(b"ready\nready\n")
        (orphan,) = until(lambda: children_of(guard.guard_pid) - {guard.pid}, "the guard has it")
        guard.stop(delay=FAR)
        told = guard.read()
        assert told is not None
        assert told.phase is Phase.STOPPING
        assert guard.state() is Phase.STOPPING, "all that the stop brings about at once has been done"
        os.kill(orphan, PROBE)
        said.wait(b"%d\n" % PROBE)
        assert b"\n%d\n" % signal.SIGTERM not in said._seen
        guard.stop()
        assert ends(guard.wait(30)) == HEEDED
    said.close()


@pytest.mark.requirement("stop-delay", "guard-2.2")
def test_the_owner_s_death_ends_the_delay(open_folder: Path) -> None:
    tree = Tree(open_folder, "alone", "stay")
    record = open_folder / "record"
    plan = {"argv": [*tree.argv], "start": {"record": str(record), "grace": 3600}, "then": ["ask"]}
    owner = Owner(plan)
    try:
        owner.started()
        owner.go()
        assert owner.line() == {"asked": True}
    finally:
        owner.kill()
    tree.assert_gone()
    found = until(lambda: records.read(record), "the record is written")
    assert found.cause is Cause.REQUEST, "it was asked for before the owner died"
    assert found.stop.label == "owner"


@pytest.mark.requirement("stop-delay")
@pytest.mark.parametrize(
    ("second", "end"),
    [
        ({"delay": 0.01, "grace": 0.01}, KILLED),
        ({"delay": FAR, "grace": FAR}, None),
        ({"grace": 0.0}, KILLED),
        ({"signal": signal.SIGKILL}, KILLED),
        ({"signal": signal.SIGKILL, "delay": FAR}, None),
        ({"signal": signal.SIGKILL, "delay": 0.01}, KILLED),
    ],
)
def test_a_second_stop_shortens_the_delay_too(second: dict[str, float], end: object) -> None:
    with Telling(grace=FAR) as driver:
        driver.guard.stop(delay=FAR, label="first")
        driver.guard.stop(label="second", **second)  # type: ignore[arg-type]
        if end is None:
            assert not driver.has_seen_term()
            driver.guard.stop(grace=0)
        record = driver.guard.wait(30)
    assert ends(record) == KILLED
    assert record.stop is not None
    assert record.stop.label == "first"


@pytest.mark.requirement("stop-delay")
def test_a_second_stop_never_lengthens_the_delay() -> None:
    with Telling("heeds", grace=60) as driver:
        driver.guard.stop(delay=0.1)
        driver.guard.stop(delay=FAR)
        assert ends(driver.guard.wait(30)) == HEEDED


@pytest.mark.requirement("stop-delay")
@pytest.mark.parametrize("options", [{"signal": signal.SIGKILL}, {"grace": 0.0}])
def test_sigkill_waits_for_the_end_of_the_delay_too(options: dict[str, float]) -> None:
    with Telling(grace=60) as driver:
        driver.guard.stop(delay=FAR, **options)  # type: ignore[arg-type]
        assert not driver.has_seen_term()
        driver.guard.postpone(0.05)
        assert ends(driver.guard.wait(30)) == KILLED


@contextlib.contextmanager
def read_at_once(guard: Guard) -> Iterator[None]:
    """The guard is stopped, and reads all that it is asked meanwhile in one go."""
    os.kill(guard.guard_pid, signal.SIGSTOP)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(guard, "_wake", lambda: None)
        yield
    os.kill(guard.guard_pid, signal.SIGCONT)


@pytest.mark.requirement("stop-delay")
def test_a_delay_may_be_counted_anew() -> None:
    with Telling("heeds", grace=60) as driver:
        driver.guard.postpone(FAR)  # nothing is under way
        with read_at_once(driver.guard):
            driver.guard.stop(delay=0.05)
            driver.guard.postpone(FAR)
        with pytest.raises(WaitTimeoutError):
            driver.guard.wait(0.3)
        assert not driver.has_seen_term()
        driver.guard.postpone(0)
        assert ends(driver.guard.wait(30)) == HEEDED


@pytest.mark.requirement("stop-delay")
@pytest.mark.parametrize("hurry", [Guard.stop, Guard.force, lambda guard: guard.postpone(0)])
def test_one_that_is_in_a_hurry_is_not_overruled(hurry: Callable[[Guard], None]) -> None:
    with Telling("heeds", grace=60) as driver:
        with read_at_once(driver.guard):
            driver.guard.stop(delay=FAR)
            hurry(driver.guard)
            driver.guard.postpone(FAR)
        assert ends(driver.guard.wait(30)) == HEEDED


@pytest.mark.requirement("stop-delay")
def test_once_the_signal_was_sent_nothing_is_postponed() -> None:
    with Telling(grace=0.3) as driver:
        driver.guard.stop()
        driver.guard.postpone(FAR)
        assert ends(driver.guard.wait(30)) == KILLED


@pytest.mark.requirement("stop-delay", "guard-2.6")
def test_a_guard_that_is_lost_in_the_delay() -> None:
    with Telling(grace=60) as driver:
        driver.guard.stop(delay=FAR, label="operator")
        kill_quietly(driver.guard.guard_pid)
        record = driver.guard.wait(30)
        assert driver.guard.phase is Phase.ENDED
    assert (record.cause, record.driver) == (Cause.GUARD_LOST, None)
    assert record.stop is not None
    assert record.stop.label == "operator"


@pytest.mark.requirement("exit-forced")
@pytest.mark.parametrize(
    ("how", "code", "number", "rung"),
    [("heeds", 3, None, Rung.SIGNAL), ("deaf", None, signal.SIGKILL, Rung.KILL)],
)
def test_a_forced_end_is_no_stop(tmp_path: Path, how: str, code: int | None, number: int | None, rung: Rung) -> None:
    with Telling(how, grace=0.1 if how == "deaf" else 60, record=tmp_path / "record") as driver:
        driver.guard.force(label="its work was done")
        record = driver.guard.wait(30)
    assert ends(record) == (code, number, rung, Cause.EXIT_FORCED)
    assert record.stop is not None
    assert record.stop.label == "its work was done"
    assert records.read(tmp_path / "record") == replace(record, not_durable=0, retried=0)
    outcome = from_record(record, Submission("s", "n", 1.0))
    assert (outcome.state, outcome.reason) == (TerminalState.FAILED, Reason.EXIT_FORCED)


@pytest.mark.requirement("exit-forced")
@pytest.mark.parametrize(
    ("label", "told", "kept"),
    [
        ("\u00e9" * 100, "\u00e9" * 31, "?" * 62),
        ("\ud800", "?", "?"),
        ("a\nb\x7f", "a\nb\x7f", "a?b?"),
        ("x" * 1000, "x" * 63, "x" * 63),
        ("", "", ""),
    ],
    ids=ascii,
)
def test_whatever_is_in_its_label(tmp_path: Path, label: str, told: str, kept: str) -> None:
    with Telling(grace=0, record=tmp_path / "record") as driver:
        driver.guard.force(label=label)
        record = driver.guard.wait(30)
    found = records.read(tmp_path / "record")
    assert found is not None
    assert record.stop is not None
    assert found.stop is not None
    assert (record.stop.label, found.stop.label) == (told, kept)


@pytest.mark.requirement("exit-forced", "fault-9")
def test_one_that_had_ended_by_itself_was_not_forced() -> None:
    with Telling(grace=60) as driver:
        os.kill(driver.guard.guard_pid, signal.SIGSTOP)
        os.kill(driver.guard.pid, signal.SIGUSR2)
        until(lambda: start_time(driver.guard.pid) is None, "the driver has exited")
        driver.guard.force()
        record = driver.guard.wait(30)
    assert ends(record) == (0, None, Rung.NONE, Cause.NONE)
    assert record.stop is None


@pytest.mark.requirement("exit-forced")
def test_a_stop_after_a_forced_end_only_hurries() -> None:
    with Telling(grace=FAR) as driver:
        driver.guard.force(label="done")
        driver.guard.stop(grace=0, label="operator")
        record = driver.guard.wait(30)
    assert ends(record) == (None, signal.SIGKILL, Rung.KILL, Cause.EXIT_FORCED)
    assert record.stop is not None
    assert record.stop.label == "done"


@pytest.mark.requirement("exit-forced", "stop-delay")
def test_a_forced_end_after_a_stop_only_ends_the_delay() -> None:
    with Telling("heeds", grace=60) as driver:
        driver.guard.stop(delay=FAR, label="operator")
        driver.guard.force(label="done")
        record = driver.guard.wait(30)
    assert ends(record) == HEEDED
    assert record.stop is not None
    assert record.stop.label == "operator"


@pytest.mark.requirement("exit-forced", "guard-2.6")
def test_a_guard_that_is_lost_while_it_forces_the_end_was_asked_for_no_stop() -> None:
    with Telling(grace=60) as driver:
        driver.guard.force()
        told = driver.guard.read()
        assert told is not None
        assert (told.news, told.cause) == (News.STOPPING, Cause.EXIT_FORCED)
        kill_quietly(driver.guard.guard_pid)
        record = driver.guard.wait(30)
    assert (record.cause, record.stop) == (Cause.GUARD_LOST, None)


class Ladder:
    """What the guard should make of what it is asked, where nothing takes any time."""

    grace = 600.0

    def __init__(self) -> None:
        self.cause = Cause.NONE
        self.signal_at = self.kill_at = math.inf
        self.waiting = self.signalled = self.killed = self.kills = False

    def ask(self, kind: str, delay: float, grace: float | None, number: int) -> None:
        if kind == "postpone":
            if self.waiting:
                self.signal_at, self.kill_at = delay, delay + self.kill_at - self.signal_at
        else:
            if kind == "force":
                delay, grace, number = 0.0, None, 0
            grace = 0.0 if number == signal.SIGKILL else self.grace if grace is None else grace
            self.kill_at = min(self.kill_at, delay + grace)
            if self.cause is Cause.NONE:
                self.cause = Cause.REQUEST if kind == "stop" else Cause.EXIT_FORCED
                self.waiting, self.signal_at, self.kills = True, delay, number == signal.SIGKILL
            elif self.waiting:
                self.signal_at = min(self.signal_at, delay)
            elif number == signal.SIGTERM:
                self.signalled = True
        if self.waiting and self.signal_at <= 0:
            self.waiting = False
            self.killed = self.kills
            self.signalled = not self.kills and self.kill_at > 0
        self.killed = self.killed or (not self.waiting and self.kill_at <= 0)


asks = st.tuples(
    st.sampled_from(["stop", "stop", "postpone", "force"]),
    st.sampled_from([0.0, FAR, FAR]),
    st.sampled_from([None, 0.0, FAR]),
    st.sampled_from([0, signal.SIGTERM, signal.SIGKILL]),
)


@pytest.mark.requirement("stop-delay", "exit-forced")
@settings(max_examples=100, deadline=None)
@given(st.lists(asks, min_size=1, max_size=5))
def test_any_order_of_requests(wanted: list[tuple[str, float, float | None, int]]) -> None:
    model = Ladder()
    with Telling(grace=Ladder.grace, containment="tree") as driver:
        for kind, delay, grace, number in wanted:
            model.ask(kind, delay, grace, number)
            if kind == "stop":
                driver.guard.stop(delay=delay, grace=grace, signal=number)
            elif kind == "postpone":
                driver.guard.postpone(delay)
            else:
                driver.guard.force()
            if model.killed:
                break
        if not model.killed:
            assert driver.has_seen_term() == model.signalled
            driver.guard.stop(signal=signal.SIGKILL)
        record = driver.guard.wait(30)
    assert ends(record)[:3] == (None, signal.SIGKILL, Rung.KILL)
    assert record.cause is (model.cause if model.cause is not Cause.NONE else Cause.REQUEST)


# ---- what can't be ended -----------------------------------------------------------------------


@pytest.fixture
def frozen() -> Iterator[Path]:
    need_root()
    root = Path("/sys/fs/cgroup/freezer")
    need(
        (root / "tasks").exists() and os.access(root, os.W_OK), "no cgroup v1 freezer, whose members SIGKILL waits for"
    )
    group = root / f"raydp-wrap-test-{os.getpid()}"
    group.mkdir()
    yield group
    (group / "freezer.state").write_text("THAWED")
    until(lambda: not (group / "cgroup.procs").read_text(), "its members have ended")
    group.rmdir()


@pytest.mark.requirement("fault-8")
def test_an_unkillable_driver_is_pending_never_killed(frozen: Path, tmp_path: Path) -> None:
    guard = Guard.start(
        Launch(argv=("/bin/sleep", "60")), grace=0.05, reap_timeout=0.1, record=tmp_path / "record", containment="tree"
    )
    with guard:
        (frozen / "cgroup.procs").write_text(str(guard.pid))
        (frozen / "freezer.state").write_text("FROZEN")
        until(lambda: (frozen / "freezer.state").read_text() == "FROZEN\n", "frozen")
        guard.stop()
        told = guard.read()
        assert told is not None
        assert told.news is News.STOPPING
        for _ in range(2):  # and again, as long as it lasts
            told = guard.read()
            assert told is not None
            assert told.news is News.PENDING
            assert told.survivors == (guard.pid,)
        assert guard.state() is Phase.STOPPING
        assert records.read(tmp_path / "record") is None
        (frozen / "freezer.state").write_text("THAWED")
        record = guard.wait(30)
    assert record.driver is not None
    assert (record.driver.signal, record.driver.rung) in ((9, Rung.KILL), (15, Rung.KILL))
    assert record.tree_empty
    assert record.survivors == ()


@pytest.mark.requirement("fault-8")
def test_closing_on_the_unkillable_says_so(frozen: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guard = Guard.start(Launch(argv=("/bin/sleep", "60")), grace=0.05, reap_timeout=0.1, containment="tree")
    (frozen / "cgroup.procs").write_text(str(guard.pid))
    (frozen / "freezer.state").write_text("FROZEN")
    until(lambda: (frozen / "freezer.state").read_text() == "FROZEN\n", "frozen")
    monkeypatch.setattr(guard, "_patience", 0.3)
    with pytest.raises(StopPendingError):
        guard.close()
    (frozen / "freezer.state").write_text("THAWED")
    assert guard._process is not None
    guard._process.wait(30)
    assert not os.path.exists(f"/proc/{guard.pid}/exe")


def foreign_program(folder: Path) -> str:
    """A program that, started by anybody in FOLDER, becomes root's."""
    need_root()
    need(not os.statvfs(folder).f_flag & os.ST_NOSUID, "set-uid programs are ignored here")
    path = folder / "become_root"
    shutil.copy(compiled("become_root.c"), path)
    path.chmod(0o4755)
    return str(path)


@pytest.mark.requirement("fault-12", "tree-other-user")
def test_a_child_of_another_user_is_named(open_folder: Path) -> None:
    tree = Tree(open_folder, "alone", "stay")
    root_child = f"{foreign_program(open_folder)} {' '.join(tree.argv)} & read x; exit 0"
    ready = Ready()
    read_end, write_end = os.pipe()
    start = {
        "containment": "tree", "sweep_grace": 0.05, "reap_timeout": 0.2, "record": str(open_folder / "record"),
        "stdout": ready.write_end, "stdin": read_end,
    }  # fmt: skip
    plan = {"argv": ["/bin/sh", "-c", root_child], "start": start, "then": ["wait", "close"], "uid": 65534}
    owner = Owner(plan, pass_fds=[ready.write_end, read_end])
    os.close(read_end)
    survivor = 0
    try:
        owner.started()
        ready.wait()
        survivor = tree.noted()[0][0]
        os.close(write_end)
        owner.go()
        told = owner.line()
        assert told["survivors"] == [survivor]
        assert not told["tree_empty"]
        assert told["code"] == 0
        found = records.read(open_folder / "record")
        assert found is not None
        assert (found.survivors, found.tree_empty) == ((survivor,), False)
        owner.go()
        assert owner.line()["closed"]
        assert tree.alive(), "it really could not be ended"
    finally:
        for pid, _ in tree.noted():
            kill_quietly(pid)
        owner.kill()
        ready.close()
    tree.assert_gone()


@pytest.mark.requirement("fault-8", "fault-12", "tree-other-user")
def test_a_driver_of_another_user_is_pending_never_killed(open_folder: Path) -> None:
    tree = Tree(open_folder, "alone", "stay")
    ready = Ready()
    start = {
        "containment": "tree", "grace": 0.05, "reap_timeout": 0.2, "record": str(open_folder / "record"),
        "stdout": ready.write_end,
    }  # fmt: skip
    then = ["stop", "read", "read", "wait"]
    plan = {"argv": [foreign_program(open_folder), *tree.argv], "start": start, "then": then, "uid": 65534}
    owner = Owner(plan, pass_fds=[ready.write_end])
    try:
        owner.started()
        ready.wait()
        for _ in range(3):
            owner.go()
        assert owner.line()["news"] == "STOPPING"
        assert owner.line() == {"news": "PENDING", "survivors": [owner.driver]}
        assert records.read(open_folder / "record") is None
        owner.go()
        os.kill(owner.driver, signal.SIGKILL)
        told = owner.line()
        assert told["signal"] == 9
        assert told["tree_empty"]
    finally:
        for pid, _ in tree.noted():
            kill_quietly(pid)
        owner.kill()
        ready.close()
