"""Many observations, one outcome: the same one in whatever order they came."""

from __future__ import annotations

import math
import signal as signals
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from raydp_wrap.diagnostics import bounded, redact
from raydp_wrap.model import Evidence, Outcome, Rank, Reason, TerminalState, Usage
from raydp_wrap.outcome.document import showable
from raydp_wrap.outcome.evidence import SIGNAL_BASE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from raydp_wrap.model import Submission

_KILLED_CODE = 143
_DEADLINE_STATUS = 124
_WRAPPER_STATUS = 125
_LAST_STATUS = 255
_LAST_SIGNAL = 64
_SOURCE_LIMIT = 200  # bytes
_OBSERVATION_LIMIT = 4 << 10
_DEADLINES = (Reason.DEADLINE_EXCEEDED, Reason.ATTEMPT_DEADLINE_EXCEEDED, Reason.START_TIMEOUT)

# Where two of one rank disagree: what can't be a false success goes before what could be.
_GRAVITY = {TerminalState.FAILED: 2, TerminalState.KILLED: 1, TerminalState.FINISHED: 0}
_UNSEEN = Evidence(
    "nobody", "nothing says how it ended", Rank.WAIT_STATUS, None, TerminalState.FAILED, reason=Reason.JOB_LOST
)


def _failure(code: int) -> int:
    """CODE as one that a process can exit with, and that no success has: a system takes it modulo 256."""
    return min(max(code, 1), _LAST_STATUS)


def _sound(evidence: Evidence) -> Evidence:
    """EVIDENCE as it may be stored and shown: safe text without secrets, and numbers that there are."""
    code, number, at = evidence.exit_code, evidence.signal, evidence.at
    return replace(
        evidence,
        source=bounded(redact(evidence.source), _SOURCE_LIMIT),
        observation=bounded(redact(evidence.observation), _OBSERVATION_LIMIT),
        at=None if at is None or not showable(at) else at,
        exit_code=None if code is None else code and _failure(code),
        signal=None if number is None or not 1 <= number <= _LAST_SIGNAL else number,
    )


def _time(evidence: Evidence) -> float:
    return math.inf if evidence.at is None else evidence.at


def _order(evidence: Evidence) -> tuple[Any, ...]:
    """Strongest first; of one rank the gravest, then the earliest. All of it, so that equal means the same.

    Of several stops the earliest decides, whatever it says: the others came when it was ending already.
    """
    gravity = 0 if evidence.rank is Rank.STOP else -_GRAVITY.get(evidence.state, -1)
    return (
        evidence.state is TerminalState.UNKNOWN,
        -evidence.rank,
        gravity,
        _time(evidence),
        -_GRAVITY.get(evidence.state, -1),
        evidence.source,
        evidence.observation,
        -1 if evidence.exit_code is None else evidence.exit_code,
        -1 if evidence.signal is None else evidence.signal,
        evidence.reason.value if evidence.reason else "",
    )


def _judge(ordered: Sequence[Evidence]) -> tuple[Evidence, Evidence | None]:
    """The evidence that decides, and the launcher's that turned a success into something else."""
    said = [evidence for evidence in ordered if evidence.state is not TerminalState.UNKNOWN]
    first = next((evidence for evidence in said if evidence.rank > Rank.LAUNCHER), _UNSEEN)
    if first.state is TerminalState.FINISHED and first.rank is Rank.WAIT_STATUS:
        for evidence in said:
            if evidence.rank is Rank.LAUNCHER and evidence.state is not TerminalState.FINISHED:
                return first, evidence
    return first, None


def _reason(deciding: Evidence, ordered: Sequence[Evidence]) -> Reason:
    """Why, where it is no success."""
    if deciding.rank is Rank.WAIT_STATUS and deciding.reason in (None, Reason.APP_FAILED):
        ended_by = deciding.signal if deciding.signal is not None else (deciding.exit_code or 0) - SIGNAL_BASE
        if ended_by == signals.SIGKILL and any(evidence.reason is Reason.OUT_OF_MEMORY for evidence in ordered):
            return Reason.OUT_OF_MEMORY
    if deciding.reason is not None:
        return deciding.reason
    return Reason.STOP_REQUESTED if deciding.state is TerminalState.KILLED else Reason.APP_FAILED


def _code_and_signal(
    state: TerminalState, deciding: Evidence, ordered: Sequence[Evidence]
) -> tuple[int | None, int | None]:
    """The driver's own, from who decided, else from the wait status; never a code that contradicts the state."""
    sources = [deciding, *(evidence for evidence in ordered if evidence.rank is Rank.WAIT_STATUS)]
    own = next((e for e in sources if e.exit_code is not None or e.signal is not None), deciding)
    code, number = own.exit_code, own.signal
    if state is TerminalState.FINISHED:
        return 0, None
    if state is TerminalState.FAILED and code == 0:
        code = 1
    if state is TerminalState.KILLED and (code == 0 or (code is None and number is None)):
        code = _KILLED_CODE
    return code, number


def _diagnostics(
    state: TerminalState,
    reason: Reason | None,
    deciding: Evidence,
    downgrade: Evidence | None,
    ordered: Sequence[Evidence],
) -> list[str]:
    parts = []
    if downgrade is not None:
        parts.append(f"{downgrade.source}: {downgrade.observation}")
    elif deciding.rank is not Rank.WAIT_STATUS and state is not TerminalState.FINISHED:
        parts.append(deciding.observation)
    if reason is Reason.OUT_OF_MEMORY:
        parts += [f"the kernel killed for lack of memory ({e.observation})" for e in ordered if e.reason is reason]
    if state is not TerminalState.FINISHED:
        parts += [e.observation for e in (*ordered, deciding) if e.rank is Rank.WAIT_STATUS][:1]
    for evidence in ordered:
        if evidence.state in (TerminalState.UNKNOWN, state) or evidence in (deciding, downgrade):
            continue
        # That a stop makes a driver fail is no conflict, nor is the launcher's FINISHED, which means nothing.
        if evidence.reason is Reason.EXIT_FORCED and evidence.rank is Rank.WAIT_STATUS:
            parts.append(evidence.observation)
            continue
        # What a driver's own end was stands there already, where it is no success.
        against_cluster = (
            evidence.rank is Rank.WAIT_STATUS and deciding.rank is Rank.CLUSTER and state is TerminalState.FINISHED
        )
        gloomy_launcher = evidence.rank is Rank.LAUNCHER and evidence.state is not TerminalState.FINISHED
        if evidence.rank is Rank.CLUSTER or against_cluster or (gloomy_launcher and state is TerminalState.FINISHED):
            parts.append(f"{evidence.source} says otherwise: {evidence.observation}")
    return list(dict.fromkeys(parts))


def decide(
    evidence: Iterable[Evidence],
    submission: Submission,
    *,
    attempt: int = 1,
    remarks: Sequence[str] = (),
    output: Callable[[], str] = str,
    started_at: float | None = None,
    ended_at: float | None = None,
    rusage: Usage | None = None,
) -> Outcome:
    """Decide how SUBMISSION ended, from what is known; the order of EVIDENCE doesn't matter.

    A stop that was asked for beats the cluster's truth, which beats the wait status; what a launcher says
    only turns an exit with 0 into something else. FAILED and KILLED never carry exit code 0, FINISHED always
    does. Evidence is kept without secrets and within bounds. REMARKS are clauses for the diagnostics, OUTPUT gives
    lines of the driver's own that go below them, where it is no success. Times are seconds since the epoch.
    """
    ordered = sorted({_sound(piece) for piece in evidence}, key=_order)
    deciding, downgrade = _judge(ordered)
    state = (downgrade or deciding).state
    reason = None if state is TerminalState.FINISHED else _reason(downgrade or deciding, ordered)
    code, number = _code_and_signal(state, deciding, ordered)
    first = "; ".join([*_diagnostics(state, reason, deciding, downgrade, ordered), *remarks])
    lines = "" if state is TerminalState.FINISHED else output()
    return Outcome(
        submission_id=submission.submission_id,
        name=submission.name,
        attempt=attempt,
        state=state,
        exit_code=code,
        signal=number,
        reason=reason,
        diagnostics=bounded(redact("\n".join(part for part in (first, lines) if part))),
        evidence=tuple(ordered),
        started_at=started_at,
        ended_at=ended_at,
        rusage=rusage or Usage(),
        app_id=submission.app_id,
        tags=submission.tags,
    )


def exit_status(outcome: Outcome) -> int:
    """What a command-line face exits with: the command's code, 128+n, 124 for a deadline, 125 for ours.

    0 to 255, and 0 is FINISHED, whatever the outcome was made of.
    """
    if outcome.state is TerminalState.FINISHED:
        return 0
    if outcome.reason in _DEADLINES:
        return _DEADLINE_STATUS
    if outcome.exit_code is not None:
        return _failure(outcome.exit_code)
    if outcome.signal is not None and outcome.reason is not Reason.JOB_LOST:
        return _failure(SIGNAL_BASE + outcome.signal)
    return _WRAPPER_STATUS
