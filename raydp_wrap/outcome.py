"""From evidence to outcome: pure functions, no clock, no I/O."""

from __future__ import annotations

import os
import signal as signals
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from raydp_wrap.model import Cause, Evidence, ExitRecord, Outcome, Rank, Reason, Rung, TerminalState, Usage

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

__all__ = ["decide", "exit_status", "from_dict", "signal_name", "start_failed", "to_dict"]

SCHEMA = 1
_SIGNAL_BASE = 128
_KILLED_CODE = 143
_DEADLINE_STATUS = 124
_WRAPPER_STATUS = 125

_DEADLINES = {
    Cause.ACTIVE_DEADLINE: (Reason.DEADLINE_EXCEEDED, "the active deadline was exceeded"),
    Cause.START_DEADLINE: (Reason.START_TIMEOUT, "the job was not up before its start deadline"),
}


def signal_name(number: int) -> str:
    """SIGTERM for 15; for a real-time signal, its number in words."""
    try:
        return signals.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _driver_text(record: ExitRecord) -> str:
    end = record.driver
    if end is None:
        return "its exit status is not known"
    if end.signal is not None:
        core = " (core dumped)" if end.core_dumped else ""
        return f"the driver was ended by {signal_name(end.signal)}{core}"
    return f"the driver exited with {end.code}"


def _stop_text(record: ExitRecord) -> str:
    """A request for a stop, and who made it; a deadline was asked for by nobody."""
    stop = record.stop
    if stop is None:
        return "a stop was asked for"
    by = stop.label or f"pid {stop.pid}, uid {stop.uid}"
    first = f", first with {signal_name(stop.signal)}" if stop.signal else ""
    return f"a stop was asked for by {by}{first}"


def _judge(record: ExitRecord, received: Collection[int]) -> tuple[TerminalState, Reason | None, str]:
    """The state, its reason, and the first sentence of the diagnostics."""
    end = record.driver
    if record.cause in (Cause.REQUEST, Cause.SIGNAL):
        return TerminalState.KILLED, Reason.STOP_REQUESTED, _stop_text(record)
    if record.cause is Cause.OWNER_DIED:
        return TerminalState.KILLED, Reason.OWNER_DIED, "the process that ran the job died, so the job was ended"
    if record.cause in _DEADLINES:
        reason, text = _DEADLINES[record.cause]
        return TerminalState.FAILED, reason, text
    # A killed process has no exit code: a driver with one ended by itself, whatever befell its guard.
    if end is None or (record.cause is not Cause.NONE and end.signal is not None):
        if record.stop is not None and record.cause is Cause.GUARD_LOST:
            return TerminalState.KILLED, Reason.STOP_REQUESTED, _stop_text(record)
        return TerminalState.FAILED, Reason.JOB_LOST, "the job's guard was lost, and the driver with it"
    if end.code == 0:
        return TerminalState.FINISHED, None, ""
    ended_by = end.signal if end.signal is not None else (end.code or 0) - _SIGNAL_BASE
    if ended_by in received:
        text = f"{signal_name(ended_by)} was received and passed on"
        return TerminalState.KILLED, Reason.STOP_REQUESTED, text
    if ended_by == signals.SIGKILL and record.oom_kills:
        text = f"the kernel killed {record.oom_kills} process(es) of the cgroup for lack of memory"
        return TerminalState.FAILED, Reason.OUT_OF_MEMORY, text
    return TerminalState.FAILED, Reason.APP_FAILED, ""


def _evidence(record: ExitRecord) -> tuple[Evidence, ...]:
    found = []
    if record.stop is not None:
        asked = record.cause in (Cause.REQUEST, Cause.SIGNAL, Cause.GUARD_LOST)
        text = (
            _stop_text(record) if asked else f"the guard stopped the job, first with {signal_name(record.stop.signal)}"
        )
        found.append(Evidence("stop", f"{record.cause.value}: {text}"))
    found.append(Evidence("wait status", _driver_text(record)))
    if record.oom_kills:
        found.append(Evidence("cgroup memory", f"oom_kill +{record.oom_kills} while the job ran"))
    tree = "empty, proven" if record.tree_empty else "not proven empty"
    swept = f"; {record.swept_term} ended by the stop signal, {record.swept_kill} by SIGKILL"
    found.append(Evidence("process tree", tree + (swept if record.swept_term or record.swept_kill else "")))
    return tuple(found)


def _diagnostics(record: ExitRecord, first: str, state: TerminalState) -> str:
    parts = [first] if first else []
    if state is not TerminalState.FINISHED:
        parts.append(_driver_text(record))
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
    parts.extend(record.notes)
    return "; ".join(parts)


def decide(
    record: ExitRecord, *, submission_id: str, name: str, attempt: int = 1, received: Collection[int] = ()
) -> Outcome:
    """Decide how an attempt ended.

    RECEIVED are the signals that reached us and the driver alike without being a request to stop (a
    terminal's Ctrl-C, a HUP passed on): a driver that ends by one of them was killed, it did not fail.
    FAILED and KILLED never carry exit code 0.
    """
    state, reason, first = _judge(record, received)
    end = record.driver
    code = end.code if end is not None else None
    if code == 0 and state is TerminalState.FAILED:
        code = 1
    if state is TerminalState.KILLED and (end is None or code == 0):
        code = _KILLED_CODE
    return Outcome(
        submission_id=submission_id,
        name=name,
        attempt=attempt,
        state=state,
        exit_code=code,
        signal=end.signal if end is not None else None,
        reason=reason,
        diagnostics=_diagnostics(record, first, state),
        evidence=_evidence(record),
        started_at=record.started_at,
        ended_at=record.ended_at,
        rusage=record.tree_usage,
    )


def start_failed(
    error: str, *, submission_id: str, name: str, status: int, at: float, lost: bool = False, attempt: int = 1
) -> Outcome:
    """The outcome of a submission whose driver never ran; STATUS is 125, 126 or 127.

    LOST: nobody can tell whether it ran, for its guard died first.
    """
    return Outcome(
        submission_id=submission_id,
        name=name,
        attempt=attempt,
        state=TerminalState.FAILED,
        exit_code=status,
        signal=None,
        reason=Reason.JOB_LOST if lost else Reason.SUBMISSION_FAILED,
        diagnostics=error,
        evidence=(Evidence("start", error),),
        started_at=None,
        ended_at=at,
        rusage=Usage(),
    )


def exit_status(outcome: Outcome) -> int:
    """What a command-line face exits with: the command's code, 128+n, 124 for a deadline, 125 for ours."""
    if outcome.state is TerminalState.FINISHED:
        return 0
    if outcome.reason in (Reason.DEADLINE_EXCEEDED, Reason.START_TIMEOUT):
        return _DEADLINE_STATUS
    if outcome.exit_code is not None:
        return outcome.exit_code
    if outcome.signal is not None and outcome.reason is not Reason.JOB_LOST:
        return _SIGNAL_BASE + outcome.signal
    return _WRAPPER_STATUS


def _rfc3339(at: float | None) -> str | None:
    if at is None:
        return None
    return datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")


def to_dict(outcome: Outcome) -> Mapping[str, Any]:
    """The outcome as JSON-able values, with the keys it has everywhere; times RFC 3339 in UTC."""
    usage = outcome.rusage
    return {
        "schema": SCHEMA,
        "submission_id": outcome.submission_id,
        "name": outcome.name,
        "app_id": outcome.app_id,
        "attempt": outcome.attempt,
        "state": outcome.state.value,
        "exit_code": outcome.exit_code,
        "signal": outcome.signal,
        "reason": outcome.reason.value if outcome.reason else None,
        "diagnostics": outcome.diagnostics,
        "evidence": [_evidence_dict(evidence) for evidence in outcome.evidence],
        "started_at": _rfc3339(outcome.started_at),
        "ended_at": _rfc3339(outcome.ended_at),
        "rusage": {field: getattr(usage, field) for field in usage.__dataclass_fields__},
        "tags": dict(outcome.tags),
    }


def _evidence_dict(evidence: Evidence) -> dict[str, Any]:
    return {
        "source": evidence.source,
        "observation": evidence.observation,
        "rank": evidence.rank.name,
        "at": _rfc3339(evidence.at),
        "state": evidence.state.value,
        "exit_code": evidence.exit_code,
        "signal": evidence.signal,
        "reason": evidence.reason.value if evidence.reason else None,
    }


def _seconds(text: str | None) -> float | None:
    # 3.10 knows no "Z".
    return None if text is None else datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def _known(kind: type[Any], raw: Mapping[str, Any]) -> dict[str, Any]:
    return {name: raw[name] for name in kind.__dataclass_fields__ if name in raw}


def _evidence_from(raw: Mapping[str, Any]) -> Evidence:
    return Evidence(
        **{
            **_known(Evidence, raw),
            "rank": Rank[raw.get("rank", "CONTEXT")],
            "at": _seconds(raw.get("at")),
            "state": TerminalState(raw.get("state", "UNKNOWN")),
            "reason": Reason(raw["reason"]) if raw.get("reason") else None,
        }
    )


def from_dict(raw: Mapping[str, Any]) -> Outcome:
    """The outcome that :func:`to_dict` made RAW of, to the microsecond; what a newer version added is left out.

    Raises:
        KeyError, TypeError, ValueError: RAW is no outcome.

    """
    return Outcome(
        **{
            **_known(Outcome, raw),
            "state": TerminalState(raw["state"]),
            "reason": Reason(raw["reason"]) if raw["reason"] else None,
            "evidence": tuple(_evidence_from(evidence) for evidence in raw["evidence"]),
            "started_at": _seconds(raw["started_at"]),
            "ended_at": _seconds(raw["ended_at"]),
            "rusage": Usage(**_known(Usage, raw["rusage"])),
            "tags": dict(raw.get("tags") or {}),
        }
    )
