"""What each operation makes of a job: pure functions, no clock, no I/O. Whoever keeps jobs applies what they return.

All of them are given a job that is undecided.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from raydp_wrap.diagnostics import bounded
from raydp_wrap.errors import RaydpWrapError, UsageError
from raydp_wrap.job import ChangeKind, Tally, check_transition
from raydp_wrap.model import TerminalState
from raydp_wrap.request import Phase

if TYPE_CHECKING:
    from collections.abc import Mapping

    from raydp_wrap.job import Job, StopWish
    from raydp_wrap.model import Outcome
    from raydp_wrap.moment import Moment

__all__ = [
    "NOTHING",
    "End",
    "Step",
    "begin",
    "decide",
    "park",
    "resume",
    "retry",
    "started",
    "stop",
    "suspend",
    "suspended",
]

_COUNTERS = {
    Tally.SUCCEEDED: "succeeded",
    Tally.FAILED: "failed",
    Tally.IGNORED: "ignored",
    Tally.SUSPENDED: "suspended",
}


@dataclass(frozen=True, slots=True)
class End:
    """How attempt NUMBER ended, as it is to be kept, and what that counts as."""

    number: int
    outcome: Outcome
    tally: Tally


@dataclass(frozen=True, slots=True)
class Step:
    """What an operation changes: fields of the job, by name, and what goes with them in the same transaction.

    ``kind`` is the change to write, None where nobody has to look. An attempt has begun where ``attempt`` changes,
    one that ended is ``end``; ``decided`` is the terminal outcome. Where an attempt ended and nothing is decided, the
    submission's app id goes, too.
    """

    changes: Mapping[str, Any] = field(default_factory=dict)
    kind: ChangeKind | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    end: End | None = None
    decided: Outcome | None = None


NOTHING = Step()

_MOST_DIAGNOSTICS = 2048  # bytes; what is kept of an attempt that another one follows


def begin(job: Job, deadline: Moment | None) -> Step | None:
    """Its next attempt; None where it is not to be started."""
    if job.active or job.stop is not None or job.suspend or job.phase not in (Phase.PENDING, Phase.RETRYING):
        return None
    changes = {
        "attempt": job.attempt + 1,
        "active": True,
        "saved": None,
        "attempt_at": None,
        "due": None,
        "deadline": deadline,
    }
    return Step(changes, ChangeKind.BEGUN)


def started(job: Job, number: int, saved: Mapping[str, Any], at: float) -> Step:
    """Attempt NUMBER runs, or has something else to save."""
    _check_active(job, number)
    if job.saved is not None:
        return NOTHING if dict(job.saved) == dict(saved) else Step({"saved": dict(saved)})
    phase = Phase.SUSPENDING if job.phase is Phase.SUSPENDING else _next(job, Phase.RUNNING)
    return Step({"phase": phase, "saved": dict(saved), "attempt_at": at}, ChangeKind.STARTED)


def retry(job: Job, number: int, outcome: Outcome, tally: Tally, due: Moment, why: str, now: Moment) -> Step:
    """Attempt NUMBER has ended, and another one is to come."""
    if tally not in (Tally.FAILED, Tally.IGNORED):
        raise ValueError(f"an attempt that is {tally.value} is not tried again")
    changes = _ended(job, number, outcome, tally)
    end = End(number, _kept(job, outcome), tally)
    if job.suspend:
        changes |= _parked(job, now)
        kind = ChangeKind.SUSPENDED
    else:
        # One whose suspension was taken back can't be RETRYING any more, but waits as long.
        changes |= {"phase": _next(job, Phase.PENDING if job.phase is Phase.SUSPENDING else Phase.RETRYING), "due": due}
        kind = ChangeKind.RETRYING
    return Step(changes, kind, {"why": why, **_told(outcome, tally)}, end)


def suspended(job: Job, number: int, outcome: Outcome, now: Moment) -> Step:
    """Attempt NUMBER was ended to suspend the job."""
    changes = _ended(job, number, outcome, Tally.SUSPENDED)
    end = End(number, _kept(job, outcome), Tally.SUSPENDED)
    changes |= _parked(job, now) if job.suspend else {"phase": _next(job, Phase.PENDING)}
    return Step(changes, ChangeKind.SUSPENDED, _told(outcome, Tally.SUSPENDED), end)


def park(job: Job, now: Moment) -> Step:
    """SUSPENDED, where nothing runs and that is asked for."""
    if job.active or not job.suspend or job.phase is Phase.SUSPENDED:
        return NOTHING
    return Step(_parked(job, now), ChangeKind.SUSPENDED)


def stop(job: Job, wish: StopWish, outcome: Outcome) -> Step:
    """A wish to stop; terminal at once without an active attempt."""
    if not job.active:
        ended = decide(job, None, outcome, None)
        return replace(ended, changes={**ended.changes, "stop": job.stop or wish}, detail={**ended.detail, **_by(wish)})
    if job.stop is None:
        return Step({"stop": wish}, ChangeKind.STOP_ASKED, _by(wish))
    stands = job.request.grace if job.stop.grace is None else job.stop.grace
    asked = job.request.grace if wish.grace is None else wish.grace
    if asked >= stands:
        return NOTHING
    return Step({"stop": replace(job.stop, grace=asked)}, ChangeKind.STOP_ASKED, _by(replace(wish, grace=asked)))


def suspend(job: Job, label: str, now: Moment) -> Step:
    """A wish to suspend; SUSPENDED at once without an active attempt."""
    if job.stop is not None:
        raise UsageError(f"{job.submission_id} is being stopped: it can't be suspended any more.")
    if job.suspend:
        return NOTHING
    detail = {"label": label} if label else {}
    if not job.active:
        return Step({"suspend": True, **_parked(job, now)}, ChangeKind.SUSPENDED, detail)
    phase = job.phase if job.phase is Phase.SUSPENDING else _next(job, Phase.SUSPENDING)
    return Step({"suspend": True, "phase": phase}, ChangeKind.SUSPEND_ASKED, detail)


def resume(job: Job, label: str, now: Moment) -> Step:
    """That taken back."""
    detail = {"label": label} if label else {}
    if job.phase is Phase.SUSPENDED:
        changes: dict[str, Any] = {"suspend": False, "phase": _next(job, Phase.PENDING)}
        if job.deadline_left is not None:
            changes |= {"deadline": now.after(job.deadline_left), "deadline_left": None}
        return Step(changes, ChangeKind.RESUMED, detail)
    if job.suspend:
        return Step({"suspend": False}, ChangeKind.RESUMED, detail)
    if job.phase is Phase.SUSPENDING:
        return NOTHING
    raise UsageError(f"{job.submission_id} is not suspended, it is {job.phase.value}: there is nothing to resume.")


def decide(job: Job, number: int | None, outcome: Outcome, tally: Tally | None) -> Step:
    """The terminal state."""
    if outcome.state is TerminalState.UNKNOWN:
        raise ValueError("UNKNOWN is no terminal state: there is nothing to decide")
    if (number is None) != (tally is None):
        raise ValueError("an attempt that ended counts as something, and none as nothing")
    if (outcome.state is TerminalState.FINISHED) != (tally is Tally.SUCCEEDED):
        raise ValueError(f"{outcome.state.value} can't come of an attempt that is {tally and tally.value}")
    end = None
    if number is not None and tally is not None:
        changes = _ended(job, number, outcome, tally)
        end = End(number, outcome, tally)
        # Whoever clears up after the last attempt needs what the backend saved of it.
        del changes["saved"], changes["attempt_at"]
    elif job.active:
        raise RaydpWrapError(f"{job.submission_id} can't end while its attempt {job.attempt} is active.")
    else:
        _check_whose(job, outcome)
        changes = _seen(outcome)
    phase = _next(job, Phase(outcome.state.value))
    changes |= {"phase": phase, "suspend": False, "due": None, "deadline": None, "deadline_left": None}
    return Step(changes, ChangeKind.ENDED, _told(outcome, tally), end, outcome)


def _next(job: Job, phase: Phase) -> Phase:
    check_transition(job.phase, phase)
    return phase


def _check_active(job: Job, number: int) -> None:
    if not job.active or job.attempt != number:
        raise RaydpWrapError(f"attempt {number} of {job.submission_id} is not its active one.")


def _check_whose(job: Job, outcome: Outcome) -> None:
    if outcome.submission_id != job.submission_id:
        raise ValueError(f"the outcome is of {outcome.submission_id}, not of {job.submission_id}")


def _ended(job: Job, number: int, outcome: Outcome, tally: Tally) -> dict[str, Any]:
    """Its active attempt is over: everything that belonged to it is reset, and it is counted."""
    _check_active(job, number)
    _check_whose(job, outcome)
    changes: dict[str, Any] = {"active": False, "saved": None, "attempt_at": None, **_seen(outcome)}
    counter = _COUNTERS.get(tally)
    if counter is not None:
        changes[counter] = getattr(job, counter) + 1
    return changes


def _kept(job: Job, outcome: Outcome) -> Outcome:
    app_id = outcome.app_id or job.submission.app_id
    diagnostics = bounded(outcome.diagnostics, _MOST_DIAGNOSTICS)
    return replace(outcome, diagnostics=diagnostics, tags={}, app_id=app_id)


def _seen(outcome: Outcome) -> dict[str, Any]:
    return {
        "exit_code": outcome.exit_code,
        "signal": outcome.signal,
        "reason": outcome.reason.value if outcome.reason else None,
        "started_at": outcome.started_at,
        "ended_at": outcome.ended_at,
    }


def _parked(job: Job, now: Moment) -> dict[str, Any]:
    changes: dict[str, Any] = {"phase": _next(job, Phase.SUSPENDED), "due": None}
    if job.deadline is not None:
        changes |= {"deadline": None, "deadline_left": max(0.0, now.until(job.deadline))}
    return changes


def _by(wish: StopWish) -> dict[str, Any]:
    told: dict[str, Any] = {"pid": wish.pid, "uid": wish.uid}
    if wish.label:
        told["label"] = wish.label
    if wish.grace is not None:
        told["grace"] = wish.grace
    return told


def _told(outcome: Outcome, tally: Tally | None) -> dict[str, Any]:
    told: dict[str, Any] = {} if tally is None else {"tally": tally.value}
    seen = _seen(outcome)
    return told | {name: seen[name] for name in ("exit_code", "signal", "reason") if seen[name] is not None}
