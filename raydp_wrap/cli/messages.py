"""The few lines of our own, beside a command's on stderr. On stdout is only what was asked for.

Others parse a submit tool's merged output (Airflow: an application's, a driver's or a pod's name, and an exit code;
Livy: a version): what would read like one of these is left out of our lines, whatever they quote.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
from typing import TYPE_CHECKING

from raydp_wrap.errors import RaydpWrapError
from raydp_wrap.model import Evidence, Outcome, Rank, Reason, TerminalState

if TYPE_CHECKING:
    from collections.abc import Iterable


__all__ = ["diagnose", "explain", "put", "report_error", "say", "show"]

_STDOUT = 1
_PARSED = re.compile(
    r"application[0-9_]+|driver-[0-9-]+|exit code:\s*\d+|pod name:|submission ID spark:|(version )"
    r"|spark-app-selector -> |Exception in thread \"|driverState|submissionId",
    re.IGNORECASE,
)
# Who reads the last 20 lines of a log (Airflow's alerts) is to find all of it there.
_MOST_LINES = 15
_LONGEST_LINE = 2000
# Evidence that the verdict has the gist of, or that says nothing to a person.
_TOLD = frozenset(("wait status", "process tree", "stop", "signal", "start", "guard", "cgroup memory"))


def say(text: str) -> None:
    """One line on stderr, whatever names and paths it quotes; a stderr that is closed or full hears nothing."""
    if sys.stderr is None:
        return
    from raydp_wrap.diagnostics.text import one_line  # noqa: PLC0415 - most runs say nothing

    with contextlib.suppress(OSError, ValueError):
        print(f"raydp-wrap: {_PARSED.sub(_in_other_words, one_line(text))}", file=sys.stderr, flush=True)  # noqa: T201


def _in_other_words(found: re.Match[str]) -> str:
    return "release " if found[1] else "…"


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
        known = not outcome.diagnostics  # a survivor, a record that could not be kept
    elif outcome.reason is Reason.STOP_REQUESTED:
        known = _was_heeded(outcome)
    else:
        known = outcome.reason is Reason.APP_FAILED and outcome.signal in (None, signal.SIGPIPE)
    if not known:
        say(_first_line(outcome))


def diagnose(outcome: Outcome) -> None:
    """Say of a failure all that a person needs who sees only the log's end, in 15 lines at most; else as explain."""
    if outcome.state is TerminalState.FINISHED or _was_heeded(outcome):
        explain(outcome)
        return
    reason = f" ({outcome.reason.value})" if outcome.reason is not None else ""
    lines = [f"{outcome.state.value}{reason}: {_first_line(outcome)}"]
    lines += [f"{one.source}: {one.observation}" for one in outcome.evidence if _is_news(one)]
    for line in lines[:_MOST_LINES]:
        say(line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}…")


def _is_news(piece: Evidence) -> bool:
    return piece.source not in _TOLD and (piece.rank, piece.state) != (Rank.LAUNCHER, TerminalState.UNKNOWN)


def _was_heeded(outcome: Outcome) -> bool:
    """Whether it ended because it was asked to."""
    return outcome.reason is Reason.STOP_REQUESTED and outcome.signal != signal.SIGKILL


def _first_line(outcome: Outcome) -> str:
    """The verdict; below it stands the command's own output, which has been seen."""
    return outcome.diagnostics.partition("\n")[0]
