"""The contracts of those who run attempts and of those who are told: what a plugin implements.

``raydp_wrap.testing`` has a suite of tests for each contract.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from raydp_wrap.model import Attempt, Evidence, Launch, Limits, Report, Usage

__all__ = ["Answer", "Backend", "Check", "Observation", "Running", "Sink", "Verdict"]


class Verdict(Enum):
    """What a sink made of a report."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    RETRY_AFTER = "retry after"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Answer:
    """A sink's answer. ``seconds`` is how long it wants to be left alone (None: as the reporter thinks fit)."""

    verdict: Verdict
    text: str = ""
    seconds: float | None = None


class Sink(ABC):
    """One place that is told terminal states. Made anew from its text in each process that needs it.

    A report is sent at least once: whoever applies it, applies it once by its key. A sink's methods may raise,
    hang, print and exit; that is told to the operator, and changes nothing else.
    """

    #: A report waits until the submission's app id is known.
    needs_app_id: ClassVar[bool] = False

    @property
    def text(self) -> str | None:
        """What to keep instead of the text behind the colon, for other processes: a path made absolute.

        Read once, in a thread of the owner, after :meth:`check`, within 5 s; None keeps the text.
        """
        return None

    def check(self) -> None:  # noqa: B027 - most have nothing to see
        """See whether this sink can be told at all; nothing is sent.

        Called at most once, in a thread of the owner, before anything is stored or started. It has 5 s.

        Raises:
            UsageError: it never can; the message says what to do. Nothing is started then.

        """

    @abstractmethod
    def deliver(self, report: Report) -> Answer:
        """Tell the sink.

        Called by the reporter in a process of its own, forked for this one call and ended when its time is
        up; once, and again after RETRY_AFTER, an exception, a crash or a time-out, also by other processes
        and on other days. Two calls for one key overlap only when the first one's process hangs.
        """


@dataclass(frozen=True, slots=True)
class Observation:
    """Something that was learnt of a running attempt.

    The last one has ``ended`` set, and ``evidence`` of how. ``remarks`` are clauses for the diagnostics that
    change no state. Times are seconds since the epoch.
    """

    app_id: str | None = None
    running: bool = False
    ended: bool = False
    evidence: tuple[Evidence, ...] = ()
    started_at: float | None = None
    ended_at: float | None = None
    usage: Usage | None = None
    remarks: tuple[str, ...] = ()


class Running(ABC):
    """One attempt, in a backend's hands. All methods are called from the event loop's thread."""

    @abstractmethod
    def save(self) -> dict[str, Any]:
        """What :meth:`Backend.restore` needs, in another process, to find the attempt again, as JSON values.

        Called once, right after :meth:`Backend.launch`, and again whenever :meth:`observe` yields an app id.
        It is stored where only the user can read it; no secrets all the same.
        """

    @abstractmethod
    def observe(self) -> AsyncIterator[Observation]:
        """Yield what happens, until it has ended with nothing left behind.

        Called once in each process that holds the attempt. The last observation has ``ended`` set, and comes in
        each of them, whatever was seen before.
        """

    @abstractmethod
    async def stop(self, *, grace: float | None = None, label: str = "") -> None:
        """Ask the attempt to end, and force it to after GRACE seconds (None: the launch's).

        Called at any time after the launch, more than once if the grace is to become shorter, and also when
        it has ended, which changes nothing; returns at once. The stop is recorded before the first signal, so
        that LABEL (who asks; no more than 60 bytes are kept for sure) is in the evidence.
        """

    async def ready(self) -> None:  # noqa: B027 - most have no start deadline to keep
        """Know that the job is up: its start deadline is met.

        Called by whoever learns it (by the app id, say), any number of times, also after the end.
        """

    @abstractmethod
    def logs(self, *, offset: int = 0, follow: bool = False) -> AsyncIterator[bytes]:
        """Yield the output from byte OFFSET on, to its present end; with FOLLOW, to the attempt's end.

        Called by readers, any number of them at once, also after the end. The attempt never waits for one.
        """

    @abstractmethod
    async def close(self) -> None:
        """Let go of the attempt in this process; it runs on. Called once, last."""


class Backend(ABC):
    """A place where attempts run. Made once for a process; its methods are called from the event loop's thread."""

    @abstractmethod
    async def launch(self, attempt: Attempt, launch: Launch, limits: Limits) -> Running:
        """Start ATTEMPT, whose ids are stored already, and return as soon as it can be found again.

        Called once for each attempt. Where its owner may have died after a launch and before it was saved,
        it is called again, in another process: an attempt that is there already is adopted, never started
        twice. One that may have been started, and can't be found, is lost: :meth:`Running.observe` tells.

        Raises:
            StartError, UsageError: it could not be started, and nothing of it is left.
            RaydpWrapError: it can't be told now whether it is there already. It is called again later.

        """

    @abstractmethod
    async def restore(self, attempt: Attempt, saved: Mapping[str, Any]) -> Running:
        """Adopt ATTEMPT, which another process launched and saved.

        Called once, when an owner takes over. An attempt that has ended meanwhile, or is gone, is no error:
        :meth:`Running.observe` tells.

        Raises:
            RaydpWrapError: it can't be told now whether it runs (a guard that doesn't answer, a cluster that
                can't be reached): its state is unknown. It is called again later.

        """

    async def forget(self, attempt: Attempt, saved: Mapping[str, Any]) -> None:  # noqa: B027 - not all keep something
        """Give up what is kept of ATTEMPT beyond its end, its output too.

        Called when it has ended, every Running of it is closed, and its outcome is stored; again, where its
        caller may have died meanwhile.
        """


@dataclass(frozen=True, slots=True)
class Check:
    """One line of ``raydp-wrap doctor``: what was looked at, whether it is well, and what to do if not."""

    name: str
    ok: bool
    text: str
