"""The contract of those who accompany an attempt in the process that owns it: what a plugin implements."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from raydp_wrap.model import Launch

__all__ = ["Notice", "Watch"]


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that a watch has learnt. What is not given stays as it was.

    ``app_id`` is the cluster's name for the submission. ``running``: the job is up. ``asked``: the application
    has done what it can about :meth:`Watch.stop`, so that the stop signal need wait no longer. ``over`` says, as a
    clause for the diagnostics (60 bytes are kept of it), that the application has ended and its process is to be ended
    now, for it would not end by itself; how the application ended is for the hook ``raydp_wrap_evidence`` to say.
    """

    app_id: str | None = None
    running: bool = False
    asked: bool = False
    over: str = ""


class Watch(ABC):
    """One attempt, seen by one plugin from before its start to its end, in the process that owns it.

    Its methods are called one at a time, each in a thread of the owner and with a time limit: 2 s, for
    :meth:`ended` 5 s. One that takes longer, or raises, is told to the user, and the watch is not asked again; the
    attempt goes on. Nothing here may wait for the application.
    """

    @property
    @abstractmethod
    def launch(self) -> Launch:
        """What is to be started in place of the launch the watch was made for. Read once, before the start."""

    def started(self, driver_pid: int) -> None:  # noqa: B027 - most need not know
        """Know that the driver runs. Called once; not at all where it could not be started."""

    @abstractmethod
    def fileno(self) -> int:
        """A descriptor that is readable when :meth:`notices` has something to do; the same one all the time."""

    def deadline(self) -> float | None:
        """When :meth:`notices` wants to be called even if nothing is readable, by ``time.monotonic()``; None: never.

        Read after every other call.
        """
        return None

    @abstractmethod
    def notices(self) -> Iterable[Notice]:
        """What has been learnt since the last call; the descriptor was readable, or the deadline is past."""

    def stop(self) -> float:
        """Ask the application, by its own means, to stop; how many seconds to leave it before the stop signal.

        Called at most once, after the request is on record. 0: there is nobody to ask.
        """
        return 0.0

    def ended(self) -> Iterable[Notice]:
        """What there is still to learn, now that the attempt's tree is empty. Called once."""
        return ()

    def save(self) -> Mapping[str, Any] | None:
        """What ``raydp_wrap_evidence`` and ``raydp_wrap_stop_remote`` need to know, as JSON values; None is nothing.

        Called after every call of :meth:`notices` and :meth:`ended`. It is kept on disk, where only the user can
        read it, until the outcome is stored, and is all that is left of the watch should its owner die. No secrets.
        """
        return None

    @abstractmethod
    def close(self) -> None:
        """Let go of descriptors and threads. Called once, last, whatever happened before."""
