"""What the tests of jobs ask for."""

from __future__ import annotations

from store.making import submission

from raydp_wrap.job import Job, Jobs, StopWish
from raydp_wrap.moment import Moment
from raydp_wrap.request import Context, Request

NOW = Moment("boot", 50.0, 1_800_000_000.0)
CONTEXT = Context({"HOME": "/home/me", "ODD": "\udcff\udc80", "EMPTY": "", "EQUALS": "a=b"}, 0o27, 1024)
WISH = StopWish(1_800_000_000.5, 42, 1000, "somebody")


def request(**more: object) -> Request:
    return Request(("sleep", "1"), **more)  # type: ignore[arg-type]


def submitted(jobs: Jobs, submission_id: str = "job", sinks: tuple[str, ...] = (), **more: object) -> Job:
    return jobs.submit(submission(submission_id, sinks), request(**more), CONTEXT, NOW)[0]


def running(jobs: Jobs, submission_id: str = "job", **more: object) -> Job:
    """A job whose first attempt runs."""
    submitted(jobs, submission_id, **more)  # type: ignore[arg-type]
    begun = jobs.begin(submission_id, NOW.after(100), NOW)
    assert begun is not None
    return jobs.started(submission_id, 1, {"directory": "x"}, NOW.wall, NOW)
