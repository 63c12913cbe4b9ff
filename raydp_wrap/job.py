"""A supervised submission as the store has it, and what may be done to it: what store, supervisor and clients share.

Whoever changes a job does so in one transaction, which also writes one :class:`Change`. Wishes (to stop, to suspend)
are part of the job; the supervisor makes them true, whenever it looks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Protocol

from raydp_wrap import checks
from raydp_wrap.errors import RaydpWrapError
from raydp_wrap.request import Phase

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from raydp_wrap.model import Attempt, Outcome, Submission
    from raydp_wrap.moment import Moment
    from raydp_wrap.request import Context, Request

__all__ = [
    "LEAST_KEPT",
    "TRANSITIONS",
    "Capacity",
    "Change",
    "ChangeKind",
    "Job",
    "Jobs",
    "StopWish",
    "Tally",
    "check_transition",
]

#: Seconds. However short its time to be kept is, whoever waits for a job can look at its end for so long.
LEAST_KEPT: Final = 2.0

_P = Phase

#: Every transition there is. An attempt that was begun counts as PENDING (or RETRYING) until it is seen to run.
TRANSITIONS: Final[Mapping[Phase, frozenset[Phase]]] = MappingProxyType(
    {
        _P.PENDING: frozenset(
            (_P.RUNNING, _P.RETRYING, _P.SUSPENDING, _P.SUSPENDED, _P.FINISHED, _P.FAILED, _P.KILLED)
        ),
        _P.RUNNING: frozenset((_P.RETRYING, _P.SUSPENDING, _P.FINISHED, _P.FAILED, _P.KILLED)),
        _P.RETRYING: frozenset(
            (_P.RUNNING, _P.RETRYING, _P.SUSPENDING, _P.SUSPENDED, _P.FINISHED, _P.FAILED, _P.KILLED)
        ),
        _P.SUSPENDING: frozenset((_P.SUSPENDED, _P.PENDING, _P.FINISHED, _P.FAILED, _P.KILLED)),
        _P.SUSPENDED: frozenset((_P.PENDING, _P.FAILED, _P.KILLED)),
        _P.FINISHED: frozenset(),
        _P.FAILED: frozenset(),
        _P.KILLED: frozenset(),
    }
)


def check_transition(before: Phase, after: Phase) -> None:
    """Raises RaydpWrapError for a transition that is not in the table: a fault of ours."""
    if after not in TRANSITIONS[before]:
        raise RaydpWrapError(f"a submission can't go from {before.value} to {after.value}.")


class Tally(Enum):
    """What an ended attempt counts as."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    IGNORED = "ignored"
    SUSPENDED = "suspended"
    STOPPED = "stopped"


class ChangeKind(Enum):
    """What a change was."""

    SUBMITTED = "submitted"
    BEGUN = "begun"  # an attempt is about to be started
    STARTED = "started"
    RETRYING = "retrying"
    STOP_ASKED = "stop asked"
    SUSPEND_ASKED = "suspend asked"
    SUSPENDED = "suspended"
    RESUMED = "resumed"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a job, numbered by ``seq`` over the whole home. ``at`` is in seconds since the epoch."""

    seq: int
    submission_id: str
    kind: ChangeKind
    phase: Phase
    attempt: int
    at: float
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StopWish:
    """Who asked for the stop, and when (seconds since the epoch). ``grace`` None is the request's own."""

    at: float
    pid: int
    uid: int
    label: str = ""
    grace: float | None = None


@dataclass(frozen=True, slots=True)
class Capacity:
    """What the supervisor has to give: so many attempts at once, and so much of each resource, by name."""

    max_running: int | None = None
    slots: Mapping[str, float] = field(default_factory=dict)

    def check(self) -> None:
        """Raises UsageError where it makes no sense."""
        if self.max_running is not None:
            give = "a whole number from 0 (nothing is started) to 1e15, or leave it out for 100"
            checks.whole("max-running", self.max_running, 0, checks.MOST, give)
        checks.amounts(self.slots)


@dataclass(frozen=True, slots=True)
class Job:
    """A supervised submission. Times are seconds since the epoch where they are no :class:`Moment`.

    ``seq`` is its last change's; ``place`` its place in the queue, which it keeps. ``attempt`` is the number of the
    last attempt begun, 0 none; ``active``: as far as is known, that has not ended. ``saved`` is what the backend needs
    to find it again, None until it has been started. ``due`` is when the next attempt may start at the earliest.
    ``deadline`` is the active deadline once the first attempt has begun; ``deadline_left`` (seconds) while it is
    suspended. The fields of the end are of the terminal outcome (the whole of which is :meth:`Jobs.outcome`), else of
    the last attempt that ended. ``saved`` and ``attempt_at`` of the last attempt stay when it is terminal.
    """

    submission: Submission
    request: Request
    phase: Phase
    seq: int
    place: int
    attempt: int = 0
    active: bool = False
    saved: Mapping[str, Any] | None = None
    attempt_at: float | None = None
    succeeded: int = 0
    failed: int = 0
    ignored: int = 0
    suspended: int = 0
    due: Moment | None = None
    deadline: Moment | None = None
    deadline_left: float | None = None
    stop: StopWish | None = None
    suspend: bool = False
    exit_code: int | None = None
    signal: int | None = None
    reason: str | None = None
    started_at: float | None = None
    ended_at: float | None = None

    @property
    def submission_id(self) -> str:
        """Whose it is."""
        return self.submission.submission_id


class Jobs(Protocol):
    """The jobs of a home. Each method is one transaction, or one look. Where it raises, nothing was changed.

    ``now`` is the caller's clock. A method that changes returns the job as it is afterwards. All may raise StoreError.
    AlreadyDecidedError (with the outcome that stands) is raised by all that need an undecided job; UsageError where
    there is no such job.
    """

    # -- asking for it ------------------------------------------------------------------------

    def submit(self, submission: Submission, request: Request, context: Context, now: Moment) -> tuple[Job, bool]:
        """Keep a new job in PENDING (SUSPENDED, if its request says so), and a change SUBMITTED; and whether it is new.

        One of that id and the same request is there already: it is returned as it is (the context doesn't
        matter).

        Raises:
            UsageError: the id is another request's, or no id; a submission it is to come after is not known, or can't
                have that condition any more; it needs more than the capacity.

        """

    def stop(self, submission_id: str, wish: StopWish, outcome: Outcome, now: Moment) -> Job:
        """Ask for a stop. Without an active attempt it is terminal at once, by OUTCOME (KILLED).

        A second wish may shorten the grace; the first one's label stays.
        """

    def suspend(self, submission_id: str, label: str, now: Moment) -> Job:
        """Ask for suspension: SUSPENDED at once without an active attempt, else SUSPENDING. Twice does no harm."""

    def resume(self, submission_id: str, label: str, now: Moment) -> Job:
        """Take that back: SUSPENDED becomes PENDING at its old place, SUSPENDING when its attempt has ended.

        Raises:
            UsageError: it is neither, nor is to be suspended.

        """

    def delete(self, submission_id: str, *, force: bool = False) -> None:
        """Forget a terminal job: its row, attempts, changes, reports. Its logs are the caller's to remove, before.

        Raises:
            UsageError: it is not terminal, or a report of it waits (FORCE: it is given up), or a job waits for it.

        """

    # -- what the supervisor does -------------------------------------------------------------

    def begin(self, submission_id: str, deadline: Moment | None, now: Moment) -> Job | None:
        """Keep that its next attempt (``job.attempt``) is about to be started: ``active``, nothing saved.

        DEADLINE is kept as the job's. None, and nothing is changed, where it is no more to be started: it has an active
        attempt, a wish to stop or suspend, is suspended or terminal.
        """

    def started(self, submission_id: str, number: int, saved: Mapping[str, Any], at: float, now: Moment) -> Job:
        """Its active attempt NUMBER runs since AT: RUNNING (SUSPENDING stays). SAVED as Running.save gave it.

        Once more, with other SAVED: that is kept, and nothing else changed.
        """

    def retry(
        self, submission_id: str, number: int, outcome: Outcome, tally: Tally, due: Moment, why: str, now: Moment
    ) -> Job:
        """Its active attempt NUMBER has ended with nothing left behind, and another one is to come: RETRYING, at DUE.

        OUTCOME is the attempt's; TALLY is FAILED or IGNORED; all that belongs to the attempt is reset. A job that is
        to be suspended becomes SUSPENDED instead.
        """

    def suspended(self, submission_id: str, number: int, outcome: Outcome, now: Moment) -> Job:
        """Its active attempt NUMBER was ended to suspend it: SUSPENDED; PENDING, if that was taken back meanwhile."""

    def park(self, submission_id: str, now: Moment) -> Job:
        """A job without an active attempt that is to be suspended is SUSPENDED; nothing is changed in any other."""

    def decide(self, submission_id: str, number: int | None, outcome: Outcome, tally: Tally | None, now: Moment) -> Job:
        """The terminal state, and a report for each sink, unclaimed; the attempt's end and count with it.

        NUMBER is the active attempt that ended; None: it has none, or is lost before it ever began, and TALLY is None.

        Raises:
            RaydpWrapError: NUMBER is not its active attempt, or is None and it has one.

        """

    # -- looking ------------------------------------------------------------------------------

    def job(self, submission_id: str) -> Job | None:
        """The job; None if there is none of that id, or it is nobody's to supervise."""

    def outcome(self, submission_id: str) -> Outcome | None:
        """How it ended, with the app id that is known by now; None while that is undecided."""

    def unfinished(self) -> list[Job]:
        """All that are not terminal, by place."""

    def unreadable(self, since: int = 0) -> list[tuple[str, str]]:
        """Those that are not terminal and that this version can't read, which are left out elsewhere; and why."""

    def changed(self, since: int) -> list[Job]:
        """All whose ``seq`` is greater than SINCE, by seq; terminal ones, too."""

    def changes(self, since: int, submission_id: str | None = None, limit: int = 1000) -> list[Change]:
        """The changes after number SINCE, oldest first."""

    def last_seq(self) -> int:
        """The number of the last change there was; 0 none."""

    def context(self, submission_id: str) -> Context:
        """What it has from its submitter; emptied when it is terminal."""

    def history(self, submission_id: str) -> list[tuple[Attempt, Outcome | None]]:
        """Its attempts, oldest first, with their ends; of all but the last, the diagnostics are cut short."""

    def remains(self, submission_id: str) -> list[tuple[Attempt, Mapping[str, Any]]]:
        """Its attempts, oldest first, with what their backends saved: what there is to clear up before a delete."""

    def capacity(self) -> Capacity:
        """What was set; see :meth:`set_capacity`."""

    def set_capacity(self, capacity: Capacity) -> None:
        """Keep what there is to give. Raises UsageError where that makes no sense."""

    def waiting_for(self, submission_id: str) -> Iterable[str]:
        """The ids of the undecided jobs that are to come after it."""

    def next_expiry(self, now: Moment) -> float | None:
        """Seconds from NOW until the next terminal job's time is over; None: of no more jobs."""

    def expired(self, now: Moment, limit: int = 100) -> list[str]:
        """The terminal jobs whose time is over, whose reports are all told, and that no job waits for; oldest first."""
