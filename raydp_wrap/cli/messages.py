"""The few lines of our own, all on stderr. Others parse a command's merged output: keep their tokens out.

No line may hold ``application_``, ``driver-`` with a digit, ``exit code: N`` or ``version`` (Airflow and Livy
look for them).
"""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

from raydp_wrap.model import Outcome, Reason, TerminalState

if TYPE_CHECKING:
    from raydp_wrap.errors import RaydpWrapError

__all__ = ["explain", "report_error"]


def _say(text: str) -> None:
    with contextlib.suppress(OSError):
        print(f"raydp-wrap: {text}", file=sys.stderr, flush=True)  # noqa: T201


def report_error(error: RaydpWrapError) -> int:
    """One sentence, no traceback; the exit code. An error without a message has been shown already."""
    if str(error):
        _say(str(error))
    return error.exit_code


def explain(outcome: Outcome) -> None:
    """Say what the command can't have said itself. Its own exit code, and a stop, need no words."""
    spoke = outcome.reason is Reason.APP_FAILED and outcome.exit_code is not None
    if outcome.state is not TerminalState.FINISHED and outcome.reason is not Reason.STOP_REQUESTED and not spoke:
        _say(outcome.diagnostics)
