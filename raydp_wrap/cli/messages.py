"""The few lines of our own, beside a command's on stderr. Others parse its merged output: keep their tokens out.

No such line may hold ``application_``, ``driver-`` with a digit, ``exit code: N`` or ``version`` (Airflow and
Livy look for them). On stdout is only what was asked for.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING

from raydp_wrap.errors import RaydpWrapError
from raydp_wrap.model import Outcome, Reason, TerminalState

if TYPE_CHECKING:
    from collections.abc import Iterable


__all__ = ["explain", "put", "report_error", "say", "show"]

_STDOUT = 1


def say(text: str) -> None:
    """One line on stderr, whatever names and paths it quotes; a stderr that is closed or full hears nothing."""
    if sys.stderr is None:
        return
    from raydp_wrap.diagnostics.text import one_line  # noqa: PLC0415 - most runs say nothing

    with contextlib.suppress(OSError, ValueError):
        print(f"raydp-wrap: {one_line(text)}", file=sys.stderr, flush=True)  # noqa: T201


def show(lines: Iterable[str]) -> bool:
    """LINES on stdout, in its encoding; False, and said, if it is closed or full. A reader that left wants no more."""
    text = "".join(f"{line}\n" for line in lines)
    if not text:
        return True
    if sys.stdout is None:  # what is open as 1 by now is something else
        say("nothing could be printed: stdout is closed")
        return False
    try:
        put(text.encode(sys.stdout.encoding or "utf-8", "backslashreplace"))
    except BrokenPipeError:
        pass
    except OSError as error:
        say(f"nothing could be printed: {error.strerror}")
        return False
    return True


def put(data: bytes) -> None:
    """Write DATA to stdout past Python's buffer, which would complain again, and change the exit code, at the end.

    Raises OSError as write(2) does.
    """
    while data:
        data = data[os.write(_STDOUT, data) :]


def report_error(error: RaydpWrapError) -> int:
    """One sentence, no traceback; the exit code. An error without a message has been shown already."""
    if str(error):
        say(str(error))
    # A plugin's own kind of error may say anything; one that has been shown already (a --help) may be none at all.
    return error.exit_code if not str(error) or 0 < error.exit_code < 256 else RaydpWrapError.exit_code  # noqa: PLR2004


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
