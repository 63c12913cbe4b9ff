"""The few lines of our own, all on stderr. Others parse a command's merged output: keep their tokens out.

No line may hold ``application_``, ``driver-`` with a digit, ``exit code: N`` or ``version`` (Airflow and Livy
look for them).
"""

from __future__ import annotations

import contextlib
import signal
import sys
from typing import TYPE_CHECKING

from raydp_wrap.model import Outcome, Reason, TerminalState

if TYPE_CHECKING:
    from raydp_wrap.errors import RaydpWrapError

__all__ = ["explain", "report_error", "say"]


def say(text: str) -> None:
    """One line on stderr, whatever names and paths it quotes; a stderr that is closed or full hears nothing."""
    if sys.stderr is None:
        return
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    with contextlib.suppress(OSError, ValueError):
        print(f"raydp-wrap: {line}", file=sys.stderr, flush=True)  # noqa: T201


def report_error(error: RaydpWrapError) -> int:
    """One sentence, no traceback; the exit code. An error without a message has been shown already."""
    if str(error):
        say(str(error))
    return error.exit_code


def explain(outcome: Outcome) -> None:
    """Say what the command can't have said itself.

    Its own exit code needs no words, nor does a stop it heeded, nor the reader of its output that left.
    """
    if outcome.state is TerminalState.FINISHED:
        if outcome.diagnostics:  # a survivor, a record that could not be kept
            say(_first_line(outcome))
        return
    if outcome.reason is Reason.STOP_REQUESTED:
        known = outcome.signal != signal.SIGKILL
    else:
        known = outcome.reason is Reason.APP_FAILED and outcome.signal in (None, signal.SIGPIPE)
    if not known:
        say(_first_line(outcome))


def _first_line(outcome: Outcome) -> str:
    """The verdict; below it stands the command's own output, which has been seen."""
    return outcome.diagnostics.partition("\n")[0]
