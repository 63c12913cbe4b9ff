"""Whether a job may be submitted as it is asked for: pure checks, shared by all who keep jobs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from raydp_wrap.errors import UsageError
from raydp_wrap.request import Condition, Phase, Request
from raydp_wrap.store import records

if TYPE_CHECKING:
    from collections.abc import Callable

    from raydp_wrap.job import Capacity, Job
    from raydp_wrap.model import Submission
    from raydp_wrap.request import Context

__all__ = ["check", "check_same", "no_job", "no_longer"]

#: What has a limit of its own where none is set.
_ALWAYS = ("cpus", "memory")


def no_job(submission_id: str) -> UsageError:
    """What to raise where there is none."""
    return UsageError(f"there is no job {submission_id[:100]}: see 'raydp-wrap jobs list'.")


def no_longer(job: Job, *, waiting: list[str], untold: bool) -> UsageError | None:
    """Why JOB can't be forgotten; None if it can. WAITING are the jobs that come after it, UNTOLD: a report waits."""
    identity = job.submission_id
    if not job.phase.terminal:
        return UsageError(f"{identity} has not ended, it is {job.phase.value}: stop it first.")
    if waiting:
        return UsageError(f"{waiting[0]} is to come after {identity}: delete or stop that one first.")
    if untold:
        return UsageError(f"a report of {identity} has not been delivered: run 'raydp-wrap deliver', or force it.")
    return None


def check(
    submission: Submission, request: Request, context: Context, capacity: Capacity, known: Callable[[str], Phase | None]
) -> None:
    """Whether a new job can ever run. KNOWN tells the phase of a job, None if there is none.

    Raises:
        UsageError: it can't; the sentence says why.

    """
    records.check_id(submission.submission_id)
    request.check()
    for name, value in context.environ.items():
        if "=" in name or "\0" in name or "\0" in value or not _encodable(name + value):
            raise UsageError(f"the variable {name[:100]!r} can't be passed on: unset it, and try again.")
    _check_needs(request, capacity)
    for dependency in request.after:
        phase = known(dependency.submission_id)
        if phase is None:
            raise UsageError(f"there is no job {dependency.submission_id[:100]} to come after: submit that one first.")
        if dependency.condition is Condition.FINISHED and phase in (Phase.FAILED, Phase.KILLED):
            raise UsageError(
                f"{dependency.submission_id} has ended as {phase.value}, so this would never start: "
                "run that one again, or wait for any end of it."
            )


def _encodable(text: str) -> bool:
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True


def _check_needs(request: Request, capacity: Capacity) -> None:
    for name, amount in request.needs.items():
        there = capacity.slots.get(name)
        if there is None and name not in _ALWAYS:
            raise UsageError(
                f"it needs {amount:g} of {name}, and nobody has said how many there are: "
                f"run 'raydp-wrap jobs limits --slot {name}=N' first."
            )
        if there is not None and amount > there:
            raise UsageError(
                f"it needs {_amount(name, amount)} and there are {there:g}: ask for less, "
                "or raise it by 'raydp-wrap jobs limits'."
            )


def _amount(name: str, amount: float) -> str:
    return f"{amount:g} bytes of memory" if name == "memory" else f"{amount:g} {name}"


def check_same(job: Job, submission: Submission, request: Request) -> None:
    """Raises UsageError where JOB, which has that id, is another one than is asked for."""
    there, asked = job.submission, submission
    # As it comes back: a tuple given as a list, say, is no difference.
    same = job.request == Request.from_dict(request.to_dict()) and (there.name, there.sinks, dict(there.tags)) == (
        asked.name,
        tuple(asked.sinks),
        dict(asked.tags),
    )
    if not same:
        raise UsageError(f"there is a job {job.submission_id} already, and it is another one: use another id.")
