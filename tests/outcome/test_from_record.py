"""From evidence to outcome: the truth table, and what holds for every record."""

from __future__ import annotations

import dataclasses
import json
import re
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raydp_wrap.model import (
    Cause,
    Evidence,
    Exit,
    ExitRecord,
    Outcome,
    Rank,
    Reason,
    Rung,
    Stop,
    Submission,
    TerminalState,
    Usage,
)
from raydp_wrap.outcome import exit_status, from_record, is_cut_short, never_started, signal_name, to_dict

FINISHED, FAILED, KILLED = TerminalState.FINISHED, TerminalState.FAILED, TerminalState.KILLED
TERM, INT, KILL, SEGV, HUP, USR1 = (
    int(getattr(signal, f"SIG{n}")) for n in ("TERM", "INT", "KILL", "SEGV", "HUP", "USR1")
)

WHAT = Submission("s", "n", 1.0)
STOP = Stop(signal=TERM, pid=7, uid=1000, at=1.0, label="SIGTERM from pid 7, uid 1000")


def exited(code: int, rung: Rung = Rung.NONE) -> Exit:
    return Exit(code=code, rung=rung)


def ended_by(number: int, rung: Rung = Rung.NONE) -> Exit:
    return Exit(code=None, signal=number, rung=rung)


def record(
    driver: Exit | None, cause: Cause = Cause.NONE, *, stop: Stop | None = None, oom: int | None = None
) -> ExitRecord:
    if stop is None and cause not in (Cause.NONE, Cause.GUARD_LOST):
        stop = Stop(signal=TERM, pid=0, uid=0, at=1.0)  # as the guard writes it
    return ExitRecord(
        identity="i",
        guard_pid=2,
        driver_pid=3,
        driver=driver,
        cause=cause,
        stop=stop,
        started_at=1_700_000_000.0,
        ended_at=1_700_000_001.5,
        duration=1.5,
        tree_usage=Usage(),
        tree_empty=True,
        oom_kills=oom,
    )


def decided(driver: Exit | None, cause: Cause = Cause.NONE, **more: object) -> Outcome:
    received = more.pop("received", ())
    return from_record(record(driver, cause, **more), WHAT, received=received)  # type: ignore[arg-type]


ENDS = {
    "exit 0": exited(0),
    "exit 1": exited(1),
    "exit 130": exited(130),
    "exit 255": exited(255),
    "TERM": ended_by(TERM),
    "KILL": ended_by(KILL),
    "SEGV": ended_by(SEGV),
    "unknown": None,
}


@pytest.mark.requirement("run-3.2")
@pytest.mark.parametrize(
    ("end", "code", "number", "state", "reason", "status"),
    [
        ("exit 0", 0, None, FINISHED, None, 0),
        ("exit 1", 1, None, FAILED, Reason.APP_FAILED, 1),
        ("exit 130", 130, None, FAILED, Reason.APP_FAILED, 130),
        ("exit 255", 255, None, FAILED, Reason.APP_FAILED, 255),
        # A signal that nobody here sent nor received is a failure, and stays with it.
        ("TERM", None, TERM, FAILED, Reason.APP_FAILED, 143),
        ("KILL", None, KILL, FAILED, Reason.APP_FAILED, 137),
        ("SEGV", None, SEGV, FAILED, Reason.APP_FAILED, 139),
        ("unknown", None, None, FAILED, Reason.JOB_LOST, 125),
    ],
)
def test_a_driver_that_ended_by_itself(
    end: str, code: int | None, number: int | None, state: TerminalState, reason: Reason | None, status: int
) -> None:
    outcome = decided(ENDS[end])
    assert (outcome.state, outcome.reason) == (state, reason)
    assert (outcome.exit_code, outcome.signal) == (code, number)
    assert exit_status(outcome) == status


@pytest.mark.parametrize("cause", [Cause.REQUEST, Cause.SIGNAL, Cause.OWNER_DIED])
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("oom", [None, 0, 3])
def test_a_stop_is_the_strongest_evidence(cause: Cause, end: str, oom: int | None) -> None:
    driver = ENDS[end]
    outcome = decided(driver, cause, stop=STOP, oom=oom)
    expected = Reason.OWNER_DIED if cause is Cause.OWNER_DIED else Reason.STOP_REQUESTED
    assert (outcome.state, outcome.reason) == (KILLED, expected)
    assert outcome.signal == (driver.signal if driver else None)
    if driver is None or driver.code == 0:
        assert outcome.exit_code == 143  # never 0, and never nothing at all
        assert exit_status(outcome) == 143
    else:
        assert outcome.exit_code == driver.code
        assert exit_status(outcome) == (driver.code if driver.code is not None else 128 + (driver.signal or 0))


@pytest.mark.parametrize(
    ("cause", "reason"),
    [(Cause.ACTIVE_DEADLINE, Reason.DEADLINE_EXCEEDED), (Cause.START_DEADLINE, Reason.START_TIMEOUT)],
)
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("received", [(), (TERM, INT)])
def test_a_deadline_is_a_failure_and_124(cause: Cause, reason: Reason, end: str, received: tuple[int, ...]) -> None:
    outcome = decided(ENDS[end], cause, received=received)
    assert (outcome.state, outcome.reason) == (FAILED, reason)
    assert outcome.exit_code != 0
    assert exit_status(outcome) == 124


@pytest.mark.parametrize("cause", [Cause.GUARD_LOST, Cause.GUARD_ERROR])
@pytest.mark.parametrize(
    ("end", "state", "reason", "status"),
    [
        ("exit 0", FINISHED, None, 0),
        ("exit 1", FAILED, Reason.APP_FAILED, 1),
        ("KILL", FAILED, Reason.JOB_LOST, 125),
        ("unknown", FAILED, Reason.JOB_LOST, 125),
    ],
)
def test_a_guard_that_is_lost(cause: Cause, end: str, state: TerminalState, reason: Reason | None, status: int) -> None:
    """A driver that has an exit code ended by itself; else nobody knows, and that is no success."""
    outcome = decided(ENDS[end], cause)
    assert (outcome.state, outcome.reason) == (state, reason)
    assert exit_status(outcome) == status


@pytest.mark.requirement("guard-2.6")
@pytest.mark.parametrize("end", ["KILL", "unknown"])
def test_a_guard_that_is_lost_after_a_stop_was_asked_for(end: str) -> None:
    outcome = decided(ENDS[end], Cause.GUARD_LOST, stop=STOP)
    assert (outcome.state, outcome.reason) == (KILLED, Reason.STOP_REQUESTED)
    assert "pid 7" in outcome.diagnostics


@pytest.mark.parametrize(
    ("driver", "received", "state", "status"),
    [
        (ended_by(INT), (INT,), KILLED, 130),
        (ended_by(INT), (), FAILED, 130),
        (ended_by(INT), (TERM,), FAILED, 130),
        (ended_by(HUP), (USR1, HUP), KILLED, 129),
        (exited(130), (INT,), KILLED, 130),  # a shell or a JVM that answers a signal with its code
        (exited(130), (TERM,), FAILED, 130),
        (exited(1), (INT,), FAILED, 1),
        (exited(0), (INT,), FINISHED, 0),
    ],
)
def test_a_signal_that_was_passed_on(
    driver: Exit, received: tuple[int, ...], state: TerminalState, status: int
) -> None:
    outcome = decided(driver, received=received)
    assert outcome.state is state
    assert exit_status(outcome) == status


@pytest.mark.parametrize(
    ("driver", "oom", "reason"),
    [
        (ended_by(KILL), 1, Reason.OUT_OF_MEMORY),
        (exited(137), 1, Reason.OUT_OF_MEMORY),  # its own child was killed, and it says so
        (ended_by(KILL), 0, Reason.APP_FAILED),
        (ended_by(KILL), None, Reason.APP_FAILED),
        (exited(1), 1, Reason.APP_FAILED),
        (ended_by(SEGV), 1, Reason.APP_FAILED),
    ],
)
def test_out_of_memory_only_on_evidence(driver: Exit, oom: int | None, reason: Reason) -> None:
    outcome = decided(driver, oom=oom)
    assert (outcome.state, outcome.reason) == (FAILED, reason)


FORCED = Stop(signal=TERM, pid=7, uid=1000, at=1.0, label="the driver was done 60 s ago")
BY_A_REQUEST = {Cause.REQUEST, Cause.SIGNAL, Cause.OWNER_DIED, Cause.ACTIVE_DEADLINE, Cause.START_DEADLINE}


def on_the_cluster(state: TerminalState, code: int | None) -> Evidence:
    return Evidence("cluster", f"the cluster has it {state.value}", Rank.CLUSTER, 1.0, state, code)


@pytest.mark.requirement("exit-forced")
@pytest.mark.parametrize(
    ("end", "code", "status"),
    [(ended_by(TERM), None, 143), (ended_by(KILL), None, 137), (exited(0), 1, 1), (exited(143), 143, 143)],
)
def test_a_forced_end_alone_is_a_failure(end: Exit, code: int | None, status: int) -> None:
    outcome = decided(end, Cause.EXIT_FORCED, stop=FORCED)
    assert (outcome.state, outcome.reason, outcome.exit_code) == (FAILED, Reason.EXIT_FORCED, code)
    assert exit_status(outcome) == status
    assert "ExitForced" in outcome.diagnostics
    assert "the driver was done 60 s ago" in outcome.diagnostics
    assert "stop was asked for" not in outcome.diagnostics


@pytest.mark.requirement("exit-forced", "outcome-1.2")
@pytest.mark.parametrize("end", [ended_by(TERM), ended_by(KILL), exited(0), exited(143)])
@pytest.mark.parametrize(
    ("truth", "code", "reason", "status"),
    [
        (FINISHED, 0, None, 0),
        (FINISHED, None, None, 0),
        (FAILED, 3, Reason.APP_FAILED, 3),
        (KILLED, 143, Reason.STOP_REQUESTED, 143),
    ],
)
def test_of_a_forced_end_the_cluster_tells_how_it_ended(
    end: Exit, truth: TerminalState, code: int | None, reason: Reason | None, status: int
) -> None:
    more = [on_the_cluster(truth, code)]
    outcome = from_record(record(end, Cause.EXIT_FORCED, stop=FORCED), WHAT, more=more)
    assert (outcome.state, outcome.reason, exit_status(outcome)) == (truth, reason, status)
    if truth is FINISHED:
        assert outcome.exit_code == 0
    assert outcome.diagnostics.count("ExitForced") == 1


@pytest.mark.requirement("exit-forced", "outcome-1.5")
def test_a_launcher_alone_does_not_make_a_forced_end_a_success() -> None:
    said = Evidence("spark launcher", "said FINISHED", Rank.LAUNCHER, 1.0, FINISHED)
    outcome = from_record(record(ended_by(TERM), Cause.EXIT_FORCED, stop=FORCED), WHAT, more=[said])
    assert (outcome.state, outcome.reason) == (FAILED, Reason.EXIT_FORCED)


@pytest.mark.requirement("exit-forced", "outcome-1.5")
def test_a_stop_beats_the_cluster_and_the_driver_s_own_end() -> None:
    more = [on_the_cluster(FINISHED, 0)]
    outcome = from_record(record(exited(0), Cause.REQUEST, stop=STOP), WHAT, more=more)
    assert (outcome.state, outcome.reason) == (KILLED, Reason.STOP_REQUESTED)


@pytest.mark.requirement("exit-forced")
def test_a_forced_end_is_not_put_on_a_signal_that_came_before() -> None:
    """A shell survives a Ctrl-C; that INT is also what ends it when its end is forced makes that no kill."""
    outcome = decided(ended_by(INT), Cause.EXIT_FORCED, stop=FORCED, received=(INT,))
    assert (outcome.state, outcome.reason) == (FAILED, Reason.EXIT_FORCED)


@pytest.mark.requirement("hook-stop-remote")
@pytest.mark.parametrize("cause", Cause)
@pytest.mark.parametrize("end", [*ENDS, "HUP", "exit 129"])
@pytest.mark.parametrize("asked", [None, STOP])
@pytest.mark.parametrize("passed_on", [(), (HUP,)])
def test_what_is_cut_short(cause: Cause, end: str, asked: Stop | None, passed_on: tuple[int, ...]) -> None:
    driver = {**ENDS, "HUP": ended_by(HUP), "exit 129": exited(129)}[end]
    found = dataclasses.replace(record(driver, cause, stop=asked), passed_on=passed_on)
    lost = driver is None or (cause in (Cause.GUARD_LOST, Cause.GUARD_ERROR) and driver.signal is not None)
    by_a_signal = bool(passed_on) and end in ("HUP", "exit 129") and cause is not Cause.EXIT_FORCED
    stopped = cause in BY_A_REQUEST or (cause is Cause.GUARD_LOST and asked is not None)
    assert is_cut_short(found) == (stopped or lost or by_a_signal)
    if not is_cut_short(found):
        # Nobody is told of a kill then, nor that a running job was lost.
        outcome = from_record(found, WHAT)
        assert outcome.state is not KILLED
        assert outcome.reason not in (Reason.JOB_LOST, Reason.DEADLINE_EXCEEDED, Reason.START_TIMEOUT)


def test_a_core_dump_and_the_last_rung_are_told() -> None:
    assert "core dumped" in decided(Exit(code=None, signal=SEGV, core_dumped=True)).diagnostics
    text = decided(ended_by(KILL, Rung.KILL), Cause.REQUEST, stop=STOP).diagnostics
    assert "SIGTERM from pid 7" in text
    assert "grace" in text


def test_what_the_guard_did_of_its_own_accord_is_put_on_nobody() -> None:
    for cause in (Cause.ACTIVE_DEADLINE, Cause.START_DEADLINE, Cause.OWNER_DIED, Cause.GUARD_ERROR):
        outcome = decided(ended_by(TERM), cause)
        assert "pid 0" not in json.dumps(to_dict(outcome)), cause


def test_trouble_with_the_record_is_told_and_changes_no_state() -> None:
    fine = record(exited(0))
    for change, word in (
        ({"not_durable": 28}, "No space"),
        ({"retried": 5}, "Input/output"),
        ({"guard_errno": 24}, "Too many open files"),
        ({"survivors": (8, 9), "tree_empty": False}, "8, 9"),
        ({"notes": ("a note",)}, "a note"),
    ):
        outcome = from_record(dataclasses.replace(fine, **change), WHAT)
        assert outcome.state is FINISHED
        assert word in outcome.diagnostics


sane_times = st.floats(0, 4e9, allow_nan=False)
exits = st.one_of(
    st.none(),
    st.builds(Exit, code=st.integers(0, 255), rung=st.sampled_from(Rung)),
    st.builds(Exit, code=st.none(), signal=st.integers(1, 64), core_dumped=st.booleans(), rung=st.sampled_from(Rung)),
)
stops = st.builds(
    Stop, signal=st.integers(0, 64), pid=st.integers(0, 1 << 22), uid=st.integers(0, 1 << 31), at=sane_times,
    label=st.text(max_size=20),
)  # fmt: skip
records = st.builds(
    ExitRecord,
    identity=st.text(max_size=10),
    guard_pid=st.integers(0, 1 << 22),
    driver_pid=st.integers(0, 1 << 22),
    driver=exits,
    cause=st.sampled_from(Cause),
    stop=st.one_of(st.none(), stops),
    started_at=sane_times,
    ended_at=sane_times,
    duration=sane_times,
    tree_usage=st.builds(Usage),
    tree_empty=st.booleans(),
    swept_term=st.integers(0, 300),
    swept_kill=st.integers(0, 300),
    oom_kills=st.one_of(st.none(), st.integers(0, 5)),
    survivors=st.lists(st.integers(1, 1 << 22), max_size=8).map(tuple),
    guard_errno=st.integers(0, 40),
    not_durable=st.integers(0, 40),
    retried=st.integers(0, 40),
    notes=st.lists(st.text(max_size=20), max_size=3).map(tuple),
)


@given(records, st.frozensets(st.integers(1, 64), max_size=4))
def test_every_record_has_one_true_end(found: ExitRecord, received: frozenset[int]) -> None:
    outcome = from_record(found, WHAT, received=received)
    assert outcome == from_record(found, WHAT, received=received)
    assert outcome.state in (FINISHED, FAILED, KILLED)
    driver = found.driver
    if outcome.state is FINISHED:
        assert driver is not None
        assert driver.code == 0
        assert found.cause in (Cause.NONE, Cause.GUARD_ERROR, Cause.GUARD_LOST)
        assert outcome.reason is None
    else:
        assert outcome.exit_code != 0
        assert outcome.reason is not None
        assert outcome.diagnostics
    assert outcome.signal == (driver.signal if driver else None)
    if outcome.state is KILLED and driver is not None and found.stop is None:
        assert found.cause is not Cause.NONE or received
    assert 0 <= exit_status(outcome) <= 255
    assert (exit_status(outcome) == 0) == (outcome.state is FINISHED)
    json.dumps(to_dict(outcome))


KEYS = {
    "schema", "submission_id", "name", "app_id", "attempt", "state", "exit_code", "signal", "reason", "diagnostics",
    "evidence", "started_at", "ended_at", "rusage", "tags",
}  # fmt: skip


@pytest.mark.requirement("run-3.3")
def test_as_json_it_has_the_keys_of_the_house() -> None:
    shown = to_dict(decided(exited(0)))
    assert set(shown) == KEYS
    assert shown["started_at"] == "2023-11-14T22:13:20.000000Z"
    assert shown["ended_at"] == "2023-11-14T22:13:21.500000Z"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", shown["ended_at"])
    assert set(shown["rusage"]) == {field.name for field in dataclasses.fields(Usage)}
    assert shown["evidence"][0] == {
        "source": "wait status",
        "observation": "the driver exited with 0",
        "rank": "WAIT_STATUS",
        "at": "2023-11-14T22:13:21.500000Z",
        "state": "FINISHED",
        "exit_code": 0,
        "signal": None,
        "reason": None,
    }
    assert shown["tags"] == {}
    assert json.loads(json.dumps(shown)) == shown


@pytest.mark.requirement("run-3.3")
def test_a_start_that_failed_has_the_same_keys() -> None:
    outcome = never_started("x: command not found", WHAT, status=127, at=1.0)
    shown = to_dict(outcome)
    assert set(shown) == KEYS
    assert (shown["state"], shown["exit_code"], shown["reason"]) == ("FAILED", 127, "SubmissionFailed")
    assert shown["started_at"] is None
    assert exit_status(outcome) == 127


def test_signals_have_names() -> None:
    assert signal_name(15) == "SIGTERM"
    assert signal_name(40) == "signal 40"
