"""The words of the house as frozen types: what is launched, how it ended, and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "Cause",
    "Evidence",
    "Exit",
    "ExitRecord",
    "Launch",
    "Outcome",
    "Reason",
    "Rung",
    "Stop",
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
    numbers; everything else above 2 is closed.
    """

    argv: tuple[str, ...]
    executable: str | None = None
    env: Mapping[str, str] | None = None
    cwd: str | None = None
    pass_fds: tuple[int, ...] = ()


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
    first attempt. Times are seconds (since the epoch, for the two points in time).
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
    notes: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Evidence:
    """One source's observation of the end, in the source's own words."""

    source: str
    observation: str


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
