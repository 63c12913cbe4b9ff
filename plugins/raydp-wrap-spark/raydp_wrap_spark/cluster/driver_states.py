"""What a standalone master's words for a driver's state mean."""

from __future__ import annotations

from raydp_wrap.model import TerminalState

from raydp_wrap_spark.cluster.truth import Told

__all__ = ["PREFIX", "told"]

PREFIX = "spark://"  # in front of a standalone master's address
_STATES = {
    "FINISHED": TerminalState.FINISHED,
    "FAILED": TerminalState.FAILED,
    "ERROR": TerminalState.FAILED,
    "KILLED": TerminalState.KILLED,
}


def told(by: str, word: str, detail: str = "") -> Told:
    """WORD, one of Spark's DriverState, as BY said it."""
    return Told(by, word, _STATES.get(word, TerminalState.UNKNOWN), detail)
