"""The outcomes that a face, a delivery and a repair have to decide."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raydp_wrap.model import Evidence, Rank, Reason, TerminalState
from raydp_wrap.outcome.decide import decide
from raydp_wrap.outcome.evidence import evidence_of, remarks_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from raydp_wrap.model import ExitRecord, Outcome, Submission


def from_record(
    record: ExitRecord,
    submission: Submission,
    *,
    attempt: int = 1,
    received: Collection[int] = (),
    more: Iterable[Evidence] = (),
    output: Callable[[], str] = str,
) -> Outcome:
    """Decide by an exit record, the signals RECEIVED (see :func:`evidence_of`), and MORE evidence.

    OUTPUT has lines of the driver's own; it is asked for them where it is no success.
    """
    return decide(
        [*evidence_of(record, received), *more],
        submission,
        attempt=attempt,
        remarks=remarks_of(record),
        output=output,
        started_at=record.started_at,
        ended_at=record.ended_at,
        rusage=record.tree_usage,
    )


def never_started(
    why: str,
    submission: Submission,
    *,
    at: float,
    status: int = 125,
    reason: Reason = Reason.SUBMISSION_FAILED,
    attempt: int = 1,
) -> Outcome:
    """The outcome of a driver that never ran: WHY, as a sentence; STATUS is 125, 126 or 127.

    Reason JOB_LOST: nobody can tell whether it ran, for its guard died first.
    """
    failed = Evidence("start", why, Rank.WAIT_STATUS, at, TerminalState.FAILED, status, reason=reason)
    return decide([failed], submission, attempt=attempt, ended_at=at)


def without_record(submission: Submission, *, at: float, remarks: tuple[str, ...] = (), attempt: int = 1) -> Outcome:
    """The outcome where owner and guard both died, and left no exit record; AT is when that was found out."""
    why = "the process that ran the job and its guard both died before they could tell how it ended"
    lost = Evidence("repair", why, Rank.WAIT_STATUS, at, TerminalState.FAILED, reason=Reason.JOB_LOST)
    return decide([lost], submission, attempt=attempt, remarks=remarks, ended_at=at)
