"""Every exception this package raises, in one tree.

A command-line face turns a :class:`RaydpWrapError` into one sentence on stderr and exits with its
``exit_code``; nothing of it is shown as a traceback.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raydp_wrap.model import Outcome

__all__ = [
    "AlreadyDecidedError",
    "CommandNotExecutableError",
    "CommandNotFoundError",
    "GuardError",
    "GuardLostError",
    "GuardUnresponsiveError",
    "JobFailedError",
    "PluginError",
    "RaydpWrapError",
    "RecordError",
    "StartError",
    "StopPendingError",
    "StoreError",
    "StoreFullError",
    "StoreGoneError",
    "SupervisorError",
    "SupervisorGoneError",
    "UsageError",
    "WaitTimeoutError",
    "WorkerDiedError",
]


class RaydpWrapError(Exception):
    """The root of the tree; ``exit_code`` is what a command-line face exits with."""

    exit_code = 125


class UsageError(RaydpWrapError):
    """The request is wrong: the message says what to do about it. Nothing has been started."""


class StartError(RaydpWrapError, OSError):
    """A process could not be started, and nothing of it is left behind.

    ``errno`` and ``strerror`` are the kernel's, ``filename`` is the path it is about, and ``stage``
    names the step that failed (``exec``, ``cwd``, ``clone``, … as in ``raydp_proc.h``).
    """

    exit_code = 125

    def __init__(self, errno: int, message: str, filename: str | None = None, *, stage: str = "spec") -> None:
        """Keep OSError's attributes; ``message`` is the whole sentence."""
        super().__init__(errno, message, filename)
        self.stage = stage

    def __str__(self) -> str:
        return str(self.strerror)


class CommandNotFoundError(StartError, FileNotFoundError):
    """There is no such command."""

    exit_code = 127


class CommandNotExecutableError(StartError, PermissionError):
    """The command is there and can't be executed: no permission, no interpreter, not a program."""

    exit_code = 126


class WaitTimeoutError(RaydpWrapError, TimeoutError):
    """The process had not ended when the time was up. It goes on."""


class StopPendingError(RaydpWrapError, TimeoutError):
    """SIGKILL was sent and the process is still there (uninterruptible sleep, another user's)."""


class GuardError(RaydpWrapError):
    """Something about the guard: the parent of these."""


class GuardLostError(GuardError):
    """The guard died before it told how the job ended."""


class GuardUnresponsiveError(GuardError, TimeoutError):
    """The guard is alive and does not answer (stopped, or the machine is stalled): state UNKNOWN."""


class RecordError(RaydpWrapError):
    """An exit record was refused: truncated, garbage, or of a newer version. It is left as it is."""


class WorkerDiedError(RaydpWrapError):
    """A worker ended before its socket accepted a connection."""


class PluginError(RaydpWrapError):
    """A plugin that is needed is missing or broken."""


class StoreError(RaydpWrapError):
    """The store can't be used: corrupt, full, of a newer version, or in a place where it can't be kept."""


class StoreGoneError(StoreError):
    """The store in use was moved, replaced or removed."""


class StoreFullError(StoreError):
    """The disk that the store is on is full."""


class AlreadyDecidedError(RaydpWrapError):
    """The submission is terminal already. ``outcome`` is how it ended: the first decision, which stands."""

    def __init__(self, message: str, outcome: Outcome | None = None) -> None:
        """Keep the outcome that stands, where it is known."""
        super().__init__(message)
        self.outcome = outcome


class SupervisorError(RaydpWrapError):
    """The supervisor can't be started, or doesn't answer. What was stored is stored; nothing is started meanwhile."""


class SupervisorGoneError(SupervisorError):
    """There is no supervisor, or it has hung up: ensure another one, and look into the store again."""


class JobFailedError(RaydpWrapError):
    """A result was asked of a job that has none: it failed, or was killed. ``outcome`` is how it ended."""

    def __init__(self, message: str, outcome: Outcome | None = None) -> None:
        """Keep the outcome; a job's own is always there."""
        super().__init__(message)
        self.outcome = outcome
