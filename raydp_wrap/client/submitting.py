"""From a request to a job in the store, with a supervisor that has heard of it."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from raydp_wrap.client.job import Job
from raydp_wrap.client.submitter import context
from raydp_wrap.errors import UsageError
from raydp_wrap.model import Submission
from raydp_wrap.moment import Moment

if TYPE_CHECKING:
    from raydp_wrap.client.access import Access
    from raydp_wrap.request import Request

__all__ = ["submit"]

_LOCAL = "local"


def submit(access: Access, request: Request, submission_id: str | None = None) -> Job:
    """Keep REQUEST as a new job, durably, from this process's environment; or find the job of that id.

    Raises:
        UsageError: it can never run, a sink can't be told, or the id is another job's.
        SupervisorError, StoreError: nobody could run it, or it can't be kept. Nothing was stored.

    """
    from raydp_wrap.ownership import checked_sinks, new_submission_id  # noqa: PLC0415 - only who submits

    if request.sinks:
        from raydp_wrap import plugins  # noqa: PLC0415 - who names no sinks needs none

        plugins.load(access.tell)
        request = replace(request, sinks=checked_sinks(request.sinks, access.tell))
    if submission_id is not None:
        from raydp_wrap.store.records import check_id  # noqa: PLC0415 - the store is opened next anyway

        check_id(submission_id)
    if submission_id is None or access.jobs.job(submission_id) is None:
        _check_place(access, request)
    now = Moment.now()
    name = request.name or _name(request)
    submission = Submission(submission_id or new_submission_id(), name, now.wall, request.sinks, request.tags)
    with access.changing():
        job, _ = access.jobs.submit(submission, request, context(), now)
    return Job(access, job.submission_id, job.submission.name)


def _name(request: Request) -> str:
    """What to call it: its command's name, or a shell line's first word."""
    words = request.argv[0].split() if request.shell else request.argv
    return os.path.basename(words[0]) if words else ""


def _check_place(access: Access, request: Request) -> None:
    """Whether there is a place where it could run, which the store doesn't know: this machine's size, and backends.

    Raises:
        UsageError: there is none.

    """
    if request.needs:
        from raydp_wrap.supervisor.queueing import effective  # noqa: PLC0415 - who needs nothing needs none of it

        capacity = access.jobs.capacity()
        there = effective(capacity).slots
        for name, unit in (("cpus", "CPUs"), ("memory", "bytes of memory")):
            if name not in capacity.slots and request.needs.get(name, 0.0) > there[name]:
                raise UsageError(
                    f"it needs {request.needs[name]:.12g} {unit} and there are {there[name]:.12g} here: ask for less, "
                    "or say by 'raydp-wrap jobs limits' how much there is."
                )
    if request.backend != _LOCAL:
        from raydp_wrap import plugins  # noqa: PLC0415 - mostly it is ours

        plugins.load(access.tell)
        known = sorted([_LOCAL, *plugins.backends(access.tell, taken=(_LOCAL,))])
        if request.backend not in known:
            raise UsageError(
                f"there is no backend {request.backend[:100]!r} (there are: {', '.join(known)}): install the plugin "
                "that brings it."
            )
