"""What an exit code or a signal means, for who wonders: pure."""

from __future__ import annotations

import signal
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from raydp_wrap.model import Reason, TerminalState
from raydp_wrap.outcome import REASONS, signal_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from raydp_wrap.model import Outcome

__all__ = ["end_of", "meaning"]

_SIGNAL_BASE = 128
_LAST_SIGNAL = 64

_CODES: Final[Mapping[int, str]] = MappingProxyType(
    {
        1: "a failure of the application's own",
        2: "often a wrong command line",
        50: "Spark: an uncaught exception",
        51: "Spark: an uncaught exception, and another one while that was handled",
        52: "Spark: an OutOfMemoryError in the JVM",
        101: "spark-submit: the application's main class was not found",
        124: "what timeout(1) exits with when the time is over",
        125: "what a wrapper exits with when it fails itself",
        126: "the command was found and can't be executed: no permission, or no program",
        127: "the command was not found",
    }
)
_SIGNALS: Final[Mapping[int, str]] = MappingProxyType(
    {
        signal.SIGHUP: "a terminal was hung up",
        signal.SIGINT: "an interrupt, as by Ctrl-C",
        signal.SIGQUIT: "a quit, as by Ctrl-\\",
        signal.SIGILL: "an instruction that this CPU doesn't have",
        signal.SIGABRT: "it aborted itself: a failed assertion, or a fatal error of the JVM or a library",
        signal.SIGBUS: "memory that can't be reached: a mapped file that was cut, or a full /dev/shm",
        signal.SIGFPE: "a division by zero",
        signal.SIGSEGV: "a crash: it reached for memory that is not its own",
        signal.SIGPIPE: "who read its output has left",
        signal.SIGTERM: "a polite request to end",
        signal.SIGXCPU: "its limit of CPU time was reached",
        signal.SIGXFSZ: "its limit of a file's size was reached",
        signal.SIGSYS: "a system call that its sandbox forbids",
    }
)
_STOPS = (Reason.STOP_REQUESTED, Reason.SUSPENDED)
_DEADLINES = (Reason.DEADLINE_EXCEEDED, Reason.ATTEMPT_DEADLINE_EXCEEDED, Reason.START_TIMEOUT)


def end_of(outcome: Outcome) -> str:
    """How it ended: its exit code, or its signal."""
    if outcome.signal is not None:
        return signal_name(outcome.signal)
    return "no exit code" if outcome.exit_code is None else f"exit {outcome.exit_code}"


def meaning(outcome: Outcome) -> str:
    """What that means, as a clause; "" where there is nothing to say."""
    if outcome.state is TerminalState.FINISHED:
        return ""
    reason, code = outcome.reason, outcome.exit_code
    number = outcome.signal
    if number is None and code is not None and 0 < code - _SIGNAL_BASE <= _LAST_SIGNAL:
        number = code - _SIGNAL_BASE
    if number == signal.SIGKILL:
        text = _killed(outcome)
    elif number is not None:
        text = _SIGNALS.get(number, "")
        if reason in _STOPS and text:
            text = f"{text}, which it heeded"
    elif reason in (Reason.JOB_LOST, Reason.SUBMISSION_FAILED, *_DEADLINES):
        text = REASONS[reason].text
    else:
        text = _CODES.get(code, "") if code is not None else ""
    if number is not None and outcome.signal is None:
        text = f"as a shell tells of {signal_name(number)}{f': {text}' if text else ''}"
    return text


def _killed(outcome: Outcome) -> str:
    """Whose SIGKILL it was, as far as anybody can know."""
    if any(one.reason is Reason.OUT_OF_MEMORY for one in outcome.evidence) or outcome.reason is Reason.OUT_OF_MEMORY:
        return "the kernel killed it for lack of memory"
    if outcome.reason in _STOPS:
        return "forced, after the grace of a stop was over"
    if outcome.reason in _DEADLINES:
        return "forced, after its time and the grace were over"
    if outcome.reason is Reason.JOB_LOST:
        return "nobody saw who killed it"
    return (
        "not sent by us, and no out-of-memory kill was seen: a kill -9, or a memory limit that can't be seen from here"
    )
