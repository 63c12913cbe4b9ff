"""What the tests of jobs ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.making import ended, submission

from raydp_wrap.job import StopWish, Tally
from raydp_wrap.model import TerminalState
from raydp_wrap.moment import Moment
from raydp_wrap.request import Condition, Context, Dependency, Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from raydp_wrap.job import Job, Jobs

NOW = Moment("boot", 50.0, 1_800_000_000.0)
CONTEXT = Context({"HOME": "/home/me", "ODD": "\udcff\udc80", "EMPTY": "", "EQUALS": "a=b"}, 0o27, 1024)
WISH = StopWish(1_800_000_000.5, 42, 1000, "somebody")


def request(**more: object) -> Request:
    return Request(("sleep", "1"), **more)  # type: ignore[arg-type]


def submitted(jobs: Jobs, submission_id: str = "job", sinks: tuple[str, ...] = (), **more: object) -> Job:
    return jobs.submit(submission(submission_id, sinks), request(**more), CONTEXT, NOW)[0]


def running(jobs: Jobs, submission_id: str = "job", sinks: tuple[str, ...] = (), **more: object) -> Job:
    """A job whose first attempt runs."""
    submitted(jobs, submission_id, sinks, **more)
    begun = jobs.begin(submission_id, NOW.after(100), NOW)
    assert begun is not None
    return jobs.started(submission_id, 1, {"directory": "x"}, NOW.wall, NOW)


def template(jobs: Jobs) -> None:
    """The jobs that :data:`OPERATIONS` are about."""
    sinks = ("file:x", "file:y")
    running(jobs, "runs", sinks, ttl_after_finished=5.0)
    running(jobs, "over", ttl_after_finished=0.0)
    jobs.decide("over", 1, ended("over"), Tally.FAILED, NOW)
    submitted(jobs, "waits", sinks, after=(Dependency("runs", Condition.ANY),))
    submitted(jobs, "begun", sinks)
    jobs.begin("begun", None, NOW)


#: Each changes one job of the template, whose id comes first.
OPERATIONS: dict[str, Callable[[Jobs], object]] = {
    "new-submit": lambda jobs: submitted(jobs, "new", ("file:x",), after=(Dependency("runs"),)),
    "waits-begin": lambda jobs: jobs.begin("waits", NOW.after(9), NOW),
    "begun-started": lambda jobs: jobs.started("begun", 1, {"directory": "y"}, NOW.wall, NOW),
    "runs-retry": lambda jobs: jobs.retry("runs", 1, ended("runs"), Tally.FAILED, NOW.after(10), "it failed", NOW),
    "runs-decide": lambda jobs: jobs.decide("runs", 1, ended("runs"), Tally.FAILED, NOW),
    "waits-stop": lambda jobs: jobs.stop("waits", WISH, ended("waits", TerminalState.KILLED), NOW),
    "runs-suspend": lambda jobs: jobs.suspend("runs", "me", NOW),
    "over-delete": lambda jobs: jobs.delete("over", force=True),
}
