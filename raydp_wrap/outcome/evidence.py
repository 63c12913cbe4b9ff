"""What an exit record says, as evidence."""

from __future__ import annotations

import os
import signal as signals
from typing import TYPE_CHECKING

from raydp_wrap.model import Cause, Evidence, Rank, Reason, Rung, TerminalState

if TYPE_CHECKING:
    from collections.abc import Collection

    from raydp_wrap.model import ExitRecord

SIGNAL_BASE = 128
_FORCED = "ExitForced: the application was done, and its process had to be ended"

_OF_THE_GUARD = {
    Cause.OWNER_DIED: (
        TerminalState.KILLED,
        Reason.OWNER_DIED,
        "the process that ran the job died, so the job was ended",
    ),
    Cause.ACTIVE_DEADLINE: (TerminalState.FAILED, Reason.DEADLINE_EXCEEDED, "the active deadline was exceeded"),
    Cause.START_DEADLINE: (
        TerminalState.FAILED,
        Reason.START_TIMEOUT,
        "the job was not up before its start deadline",
    ),
}


def signal_name(number: int) -> str:
    """SIGTERM for 15; for a real-time signal, its number in words."""
    try:
        return signals.Signals(number).name
    except ValueError:
        return f"signal {number}"


def evidence_of(record: ExitRecord, received: Collection[int] = ()) -> tuple[Evidence, ...]:
    """All that RECORD tells, strongest first.

    RECEIVED are the signals that reached us and the driver alike without being a request to stop (a
    terminal's Ctrl-C, a HUP passed on), beside those the record holds: a driver that ends by one of them was
    killed, it did not fail.
    """
    found = [*_stop(record), *_signals(record, {*received, *record.passed_on}), _wait_status(record)]
    if record.oom_kills:
        text = f"oom_kill +{record.oom_kills} while the job ran"
        found.append(Evidence("cgroup memory", text, reason=Reason.OUT_OF_MEMORY))
    tree = "empty, proven" if record.tree_empty else "not proven empty"
    swept = f"; {record.swept_term} ended by the stop signal, {record.swept_kill} by SIGKILL"
    found.append(Evidence("process tree", tree + (swept if record.swept_term or record.swept_kill else "")))
    return tuple(found)


def _stop(record: ExitRecord) -> list[Evidence]:
    """A request for a stop, and who made it; a deadline was asked for by nobody."""
    stop, cause = record.stop, record.cause
    at = stop.at if stop is not None else None
    if cause in _OF_THE_GUARD:
        state, reason, text = _OF_THE_GUARD[cause]
        return [Evidence("guard", text, Rank.STOP, at, state, reason=reason)]
    # A guard that was lost can't have said why; what was asked of it before is known all the same.
    asked = cause in (Cause.REQUEST, Cause.SIGNAL) or (cause is Cause.GUARD_LOST and stop is not None)
    if not asked:
        return []
    text = "a stop was asked for"
    if stop is not None:
        by = stop.label or f"pid {stop.pid}, uid {stop.uid}"
        first = f", first with {signal_name(stop.signal)}" if stop.signal else ""
        text = f"{text} by {by}{first}"
    return [Evidence("stop", text, Rank.STOP, at, TerminalState.KILLED, reason=Reason.STOP_REQUESTED)]


def _signals(record: ExitRecord, received: Collection[int]) -> list[Evidence]:
    end = record.driver
    if end is None or not received:
        return []
    ended_by = end.signal if end.signal is not None else (end.code or 0) - SIGNAL_BASE
    # Where the guard was lost, that is what ended the driver; where its end was forced, we did.
    if ended_by in received and not _lost(record) and record.cause is not Cause.EXIT_FORCED:
        text = f"{signal_name(ended_by)} was received and passed on"
        return [Evidence("signal", text, Rank.STOP, None, TerminalState.KILLED, reason=Reason.STOP_REQUESTED)]
    names = ", ".join(signal_name(number) for number in sorted(received))
    return [Evidence("signal", f"{names} received and passed on")]


def _lost(record: ExitRecord) -> bool:
    """Whether nobody can tell how the driver would have ended.

    A killed process has no exit code: a driver with one ended by itself, whatever befell its guard.
    """
    end = record.driver
    return end is None or (record.cause in (Cause.GUARD_LOST, Cause.GUARD_ERROR) and end.signal is not None)


def is_cut_short(record: ExitRecord) -> bool:
    """Whether the job did not end by itself: a stop, a deadline, a signal, or nobody knows."""
    stopped = [*_stop(record), *_signals(record, record.passed_on)]
    return any(evidence.rank is Rank.STOP for evidence in stopped) or _lost(record)


def driver_text(record: ExitRecord) -> str:
    """How the driver ended, as a clause."""
    end = record.driver
    if end is None:
        return "its exit status is not known"
    if end.signal is not None:
        core = " (core dumped)" if end.core_dumped else ""
        return f"the driver was ended by {signal_name(end.signal)}{core}"
    return f"the driver exited with {end.code}"


def _because(record: ExitRecord) -> str:
    return f" ({record.stop.label})" if record.stop is not None and record.stop.label else ""


def _wait_status(record: ExitRecord) -> Evidence:
    end, text = record.driver, driver_text(record)
    code, number = (end.code, end.signal) if end is not None else (None, None)
    at = record.ended_at
    if _lost(record):
        text = f"the job's guard was lost, and the driver with it; {text}"
        return Evidence("wait status", text, Rank.WAIT_STATUS, at, TerminalState.FAILED, code, number, Reason.JOB_LOST)
    if record.cause is Cause.EXIT_FORCED:
        # What ended the driver was us: how the application had ended is for somebody else to say.
        text, reason = f"{_FORCED}{_because(record)}; {text}", Reason.EXIT_FORCED
        return Evidence("wait status", text, Rank.WAIT_STATUS, at, TerminalState.FAILED, code, number, reason)
    if code == 0:
        return Evidence("wait status", text, Rank.WAIT_STATUS, at, TerminalState.FINISHED, code)
    return Evidence("wait status", text, Rank.WAIT_STATUS, at, TerminalState.FAILED, code, number, Reason.APP_FAILED)


def remarks_of(record: ExitRecord) -> tuple[str, ...]:
    """What else a person should know: trouble that changes no state."""
    parts = []
    if record.driver is not None and record.driver.rung is Rung.KILL:
        parts.append("it had not heeded the stop signal within its grace")
    if record.survivors:
        parts.append(f"could not be ended: pid {', '.join(map(str, record.survivors))}")
    if record.guard_errno:
        parts.append(f"a system call the guard needs failed: {os.strerror(record.guard_errno)}")
    if record.not_durable:
        parts.append(f"the exit record could not be kept: {os.strerror(record.not_durable)}")
    elif record.retried:
        parts.append(f"the exit record was kept at the second attempt, after: {os.strerror(record.retried)}")
    return (*parts, *record.notes)
