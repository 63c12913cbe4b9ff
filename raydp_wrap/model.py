"""The words of the house as frozen types: what is launched, how it ended, and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "Attempt",
    "Cause",
    "Event",
    "EventKind",
    "Evidence",
    "Exit",
    "ExitRecord",
    "Launch",
    "Limits",
    "Outcome",
    "Rank",
    "Reason",
    "Report",
    "Rung",
    "Stop",
    "Submission",
    "TerminalState",
    "Usage",
]


class TerminalState(Enum):
    """How a submission ended. UNKNOWN is not terminal: it has not been decided yet."""

    UNKNOWN = "UNKNOWN"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    KILLED = "KILLED"


class Reason(Enum):
    """The machine's word for why."""

    APP_FAILED = "AppFailed"
    SUBMISSION_FAILED = "SubmissionFailed"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    ATTEMPT_DEADLINE_EXCEEDED = "AttemptDeadlineExceeded"
    START_TIMEOUT = "StartTimeout"
    STOP_REQUESTED = "StopRequested"
    SUSPENDED = "Suspended"
    OWNER_DIED = "OwnerDied"
    OUT_OF_MEMORY = "OutOfMemory"
    JOB_LOST = "JobLost"
    EXIT_FORCED = "ExitForced"
    VALIDATION_FAILED = "ValidationFailed"


class Rung(Enum):
    """How far down the stop ladder a process had to be taken."""

    NONE = 0
    SIGNAL = 1
    KILL = 2
    PENDING = 3


@dataclass(frozen=True, slots=True)
class Launch:
    """What is about to be executed: an argument list, never a shell line.

    ``executable`` is the file to execute when it is not ``argv[0]`` looked up along PATH. ``env``
    replaces the environment (None inherits it). ``pass_fds`` stay open in the driver under their own
    numbers; everything else above 2 is closed. ``stdout`` and ``stderr`` are descriptors of ours to give it in
    place of our own. ``settings`` are the wrapper's own, where the command line that was turned into this
    launch held any (``spark.raydp.wrap.sinks`` is ``sinks`` here). ``name`` is what to call it, "" the tool's.

    ``split_output`` has a backend that keeps the output keep stderr apart from stdout. ``nofile`` (the soft limit of
    descriptors, RLIMIT_NOFILE) and ``umask`` are the driver's where a guard starts it; None: its starter's.
    """

    argv: tuple[str, ...]
    executable: str | None = None
    env: Mapping[str, str] | None = None
    cwd: str | None = None
    pass_fds: tuple[int, ...] = ()
    stdout: int | None = None
    stderr: int | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    name: str = ""
    split_output: bool = False
    nofile: int | None = None
    umask: int | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """How an attempt is stopped, and when. Seconds; a deadline of None is none.

    ``grace`` lies between the stop signal and SIGKILL. ``active_deadline`` counts from the driver's start,
    ``start_deadline`` likewise, until the job is up. ``log_limit`` is how many bytes of its output (with split output:
    of each stream) a backend has to keep, more or less; the oldest go first. None keeps all.
    """

    grace: float = 10.0
    stop_signal: int = 15
    active_deadline: float | None = None
    start_deadline: float | None = None
    log_limit: int | None = None


@dataclass(frozen=True, slots=True)
class Submission:
    """One user request. ``sinks`` are told its terminal state, each named as on the command line.

    ``created_at`` is in seconds since the epoch. ``app_id`` is the cluster's name for it, once that is known.
    """

    submission_id: str
    name: str
    created_at: float
    sinks: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    app_id: str | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One execution of a submission, numbered from 1; attempts never overlap."""

    submission_id: str
    number: int
    created_at: float


@dataclass(frozen=True, slots=True)
class Usage:
    """Resources used: seconds and bytes (``max_rss``: the largest single process)."""

    user_seconds: float = 0.0
    system_seconds: float = 0.0
    max_rss: int = 0
    minor_faults: int = 0
    major_faults: int = 0
    blocks_in: int = 0
    blocks_out: int = 0
    switches_voluntary: int = 0
    switches_forced: int = 0


@dataclass(frozen=True, slots=True)
class Exit:
    """How one process ended: an exit code or a signal, never both."""

    code: int | None
    signal: int | None = None
    core_dumped: bool = False
    usage: Usage = field(default_factory=Usage)
    rung: Rung = Rung.NONE

    @property
    def returncode(self) -> int:
        """As Popen counts it: the exit code, or minus the signal."""
        return self.code if self.code is not None else -(self.signal or 0)


class Cause(Enum):
    """Why a guard stopped its tree; NONE: the driver ended by itself."""

    NONE = "none"
    REQUEST = "request"
    SIGNAL = "signal"
    OWNER_DIED = "owner-died"
    ACTIVE_DEADLINE = "active-deadline"
    START_DEADLINE = "start-deadline"
    GUARD_ERROR = "guard-error"
    EXIT_FORCED = "exit-forced"  # its work was done, and it would not end by itself
    GUARD_LOST = "guard-lost"  # never from a guard: it died first


@dataclass(frozen=True, slots=True)
class Stop:
    """Who asked for the stop, when (seconds since the epoch), and with which signal."""

    signal: int
    pid: int
    uid: int
    at: float
    label: str = ""


@dataclass(frozen=True, slots=True)
class ExitRecord:
    """How a job ended. ``driver`` is None when its exit status could not be had.

    ``tree_empty``: proven by the kernel (ECHILD), not assumed. ``survivors`` are pids that could not be
    ended. ``swept_term`` and ``swept_kill`` count processes beside the driver that the stop signal, and
    SIGKILL, ended. ``oom_kills`` were counted in the cgroup while the job ran; None is unknown.
    ``not_durable`` is the errno that kept the record off the disk, 0 none; ``retried`` the errno of a
    first attempt. ``passed_on`` are the signals that were passed on to the driver, without being a request to
    stop. Times are seconds (since the epoch, for the two points in time).
    """

    identity: str
    guard_pid: int
    driver_pid: int
    driver: Exit | None
    cause: Cause
    stop: Stop | None
    started_at: float
    ended_at: float
    duration: float
    tree_usage: Usage
    tree_empty: bool
    swept_term: int = 0
    swept_kill: int = 0
    cgroup: bool = False
    oom_kills: int | None = None
    survivors: tuple[int, ...] = ()
    guard_errno: int = 0
    not_durable: int = 0
    retried: int = 0
    passed_on: tuple[int, ...] = ()
    notes: tuple[str, ...] = field(default=())


class Rank(IntEnum):
    """Whom to believe: of the evidence that says how it ended, the highest rank decides.

    CONTEXT never decides. LAUNCHER (what a submit tool's own protocol says) only downgrades a success.
    """

    CONTEXT = 0
    LAUNCHER = 1
    WAIT_STATUS = 2
    CLUSTER = 3
    STOP = 4


@dataclass(frozen=True, slots=True)
class Evidence:
    """One source's observation of the end, in the source's own words.

    ``at`` is when it was observed (seconds since the epoch), None unknown. ``state`` is how it ended, as far
    as this source can tell; UNKNOWN says nothing of it. ``exit_code`` or ``signal`` are the driver's own, as
    the source saw them.
    """

    source: str
    observation: str
    rank: Rank = Rank.CONTEXT
    at: float | None = None
    state: TerminalState = TerminalState.UNKNOWN
    exit_code: int | None = None
    signal: int | None = None
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a submission ended, decided once. Times are seconds since the epoch."""

    submission_id: str
    name: str
    attempt: int
    state: TerminalState
    exit_code: int | None
    signal: int | None
    reason: Reason | None
    diagnostics: str
    evidence: tuple[Evidence, ...]
    started_at: float | None
    ended_at: float | None
    rusage: Usage
    app_id: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Report:
    """What a sink is told: OUTCOME, as try number TRIES (from 1).

    ``key`` stays the same from try to try, and differs from every other submission's and sink's: who has
    applied it once has nothing more to do.
    """

    key: str
    sink: str
    outcome: Outcome
    tries: int = 1


class EventKind(Enum):
    """The moments of a submission's life that plugins are told of."""

    SUBMITTED = "submitted"
    ATTEMPT_STARTED = "attempt started"
    APP_ID_KNOWN = "app id known"
    RETRYING = "retrying"
    TERMINAL = "terminal"


@dataclass(frozen=True, slots=True)
class Event:
    """One moment. ``at`` is in seconds since the epoch; ``outcome`` is there when it is TERMINAL."""

    kind: EventKind
    submission: Submission
    attempt: int
    at: float
    outcome: Outcome | None = None
