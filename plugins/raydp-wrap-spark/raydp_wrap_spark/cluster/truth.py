"""The one contract for every kind of cluster: ask how an application ended, and end it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from raydp_wrap.errors import RaydpWrapError
from raydp_wrap.model import TerminalState

if TYPE_CHECKING:
    from raydp_wrap_spark.cluster.clock import Deadline

__all__ = ["Told", "Truth", "TruthUnknownError"]


class TruthUnknownError(RaydpWrapError):
    """The cluster could not be asked, or doesn't know. The message is a clause: why."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a cluster says of an application.

    ``by`` is who said it. ``word`` is the cluster's own for the state, ``state`` what that means: UNKNOWN as long as
    it has not ended, or where the word says nothing of how. ``detail`` is the cluster's text on why, not bounded and
    not redacted.
    """

    by: str
    word: str
    state: TerminalState = TerminalState.UNKNOWN
    detail: str = ""

    @property
    def ended(self) -> bool:
        """Whether it has ended, and it is known how."""
        return self.state is not TerminalState.UNKNOWN


class Truth(ABC):
    """One cluster. Made by whoever has a question, for that question; it holds nothing open."""

    @abstractmethod
    def ask(self, app: str, deadline: Deadline) -> Told:
        """Return what the cluster says now of APP, its own name for the application.

        Called once at the end of an attempt, in a thread of the owner or of whoever decides in its place.

        Raises:
            TruthUnknownError: it doesn't answer before DEADLINE, doesn't know APP, or answers something else.

        """

    @abstractmethod
    def end(self, app: str, deadline: Deadline) -> Told:
        """Have the cluster end APP, and return what it says then: how it ended, which may be by itself.

        It has ended, even where it isn't known how.

        Called where an attempt was cut short; an application that has ended already is no error.

        Raises:
            TruthUnknownError: it isn't known to have ended by DEADLINE.

        """
