"""What an attempt's end means for its job: pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from raydp_wrap import outcome as outcomes
from raydp_wrap import retry
from raydp_wrap.job import Tally
from raydp_wrap.model import Evidence, Rank, Reason, TerminalState
from raydp_wrap.request import Phase

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from raydp_wrap.backend import Observation
    from raydp_wrap.job import Job, StopWish
    from raydp_wrap.model import Outcome
    from raydp_wrap.moment import Moment

__all__ = ["Verdict", "dependency_outcome", "killed", "of_end", "overdue", "stop_evidence", "verdict"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do about an ended attempt. ``pause`` (seconds): another one is to come; ``why`` in words."""

    tally: Tally
    outcome: Outcome
    pause: float | None = None
    why: str = ""


def of_end(job: Job, seen: Observation, *, own_deadline: bool, last_words: Callable[[], str], asked: bool) -> Outcome:
    """How the attempt ended whose last observation is SEEN.

    OWN_DEADLINE: the deadline that its backend kept was the attempt's, not the submission's. ASKED: its backend was
    asked to stop it.
    """
    evidence = tuple(_own(one) for one in seen.evidence) if own_deadline else seen.evidence
    if asked and job.stop is not None and any(one.reason is Reason.JOB_LOST for one in evidence):
        # Who could have recorded that we asked is gone.
        evidence = (*evidence, stop_evidence(job.stop))
    return outcomes.decide(
        evidence,
        job.submission,
        attempt=job.attempt,
        remarks=seen.remarks,
        output=last_words,
        started_at=seen.started_at if seen.started_at is not None else job.attempt_at,
        ended_at=seen.ended_at,
        rusage=seen.usage,
    )


def _own(evidence: Evidence) -> Evidence:
    if evidence.reason is not Reason.DEADLINE_EXCEEDED:
        return evidence
    return replace(
        evidence,
        observation="the attempt's deadline was exceeded",
        reason=Reason.ATTEMPT_DEADLINE_EXCEEDED,
    )


def verdict(job: Job, outcome: Outcome, chance: random.Random) -> Verdict:
    """What OUTCOME, its active attempt's, makes of JOB."""
    ended_by_us = outcome.state is TerminalState.KILLED and outcome.reason is Reason.STOP_REQUESTED
    if ended_by_us and job.phase is Phase.SUSPENDING and job.stop is None:
        return Verdict(Tally.SUSPENDED, replace(outcome, reason=Reason.SUSPENDED), why="it was suspended")
    decision = retry.decide(job.request.retry, outcome, failed=job.failed, ignored=job.ignored, chance=chance)
    if decision.retry and job.stop is None:
        return Verdict(decision.tally, outcome, decision.pause, decision.why)
    return Verdict(decision.tally, outcome, None, decision.why)


def stop_evidence(wish: StopWish) -> Evidence:
    """A wish to stop, as evidence."""
    by = wish.label or f"pid {wish.pid}, uid {wish.uid}"
    text = f"a stop was asked for by {by}"
    return Evidence("stop", text, Rank.STOP, wish.at, TerminalState.KILLED, reason=Reason.STOP_REQUESTED)


def killed(job: Job, wish: StopWish, now: Moment) -> Outcome:
    """The outcome of a job that was stopped while none of its attempts ran."""
    when = "before it was started" if job.attempt == 0 else "while no attempt ran"
    return outcomes.decide(
        [stop_evidence(wish)],
        job.submission,
        attempt=max(1, job.attempt),
        remarks=(when,),
        started_at=job.started_at,
        ended_at=now.wall,
    )


def overdue(job: Job, reason: Reason, now: Moment) -> Outcome:
    """The outcome of a job whose time was over while none of its attempts ran: DEADLINE_EXCEEDED or START_TIMEOUT."""
    text = outcomes.REASONS[reason].text
    evidence = Evidence("supervisor", text, Rank.STOP, now.wall, TerminalState.FAILED, reason=reason)
    return outcomes.decide(
        [evidence], job.submission, attempt=max(1, job.attempt), started_at=job.started_at, ended_at=now.wall
    )


def dependency_outcome(job: Job, submission_id: str, ended: str, now: Moment) -> Outcome:
    """The outcome of a job that can't be started any more, for SUBMISSION_ID has ENDED so."""
    why = f"it was to come after {submission_id}, which is {ended}"
    return outcomes.never_started(why, job.submission, at=now.wall)
