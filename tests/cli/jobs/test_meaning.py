"""What an exit code or a signal means."""

from __future__ import annotations

from dataclasses import replace

import pytest

from raydp_wrap.cli.jobs.meaning import end_of, meaning
from raydp_wrap.model import Evidence, Outcome, Reason, TerminalState, Usage

pytestmark = pytest.mark.requirement("jobs-4.1-why")

FAILED = Outcome("id", "name", 1, TerminalState.FAILED, None, None, Reason.APP_FAILED, "", (), 1.0, 2.0, Usage())


@pytest.mark.parametrize(
    ("code", "number", "end", "text"),
    [
        (1, None, "exit 1", "application's own"),
        (50, None, "exit 50", "Spark: an uncaught exception"),
        (51, None, "exit 51", "another one"),
        (52, None, "exit 52", "OutOfMemoryError"),
        (124, None, "exit 124", "timeout"),
        (126, None, "exit 126", "can't be executed"),
        (127, None, "exit 127", "not found"),
        (137, None, "exit 137", "as a shell tells of SIGKILL: not sent by us"),
        (143, None, "exit 143", "as a shell tells of SIGTERM: a polite request"),
        (None, 9, "SIGKILL", "no out-of-memory kill was seen"),
        (None, 11, "SIGSEGV", "a crash"),
        (None, 40, "signal 40", ""),
        (77, None, "exit 77", ""),
        (None, None, "no exit code", ""),
    ],
)
def test_codes_and_signals(code: int | None, number: int | None, end: str, text: str) -> None:
    outcome = replace(FAILED, exit_code=code, signal=number)
    assert end_of(outcome) == end
    assert text in meaning(outcome)
    assert bool(meaning(outcome)) == bool(text)


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (Reason.OUT_OF_MEMORY, "the kernel killed it for lack of memory"),
        (Reason.STOP_REQUESTED, "forced, after the grace"),
        (Reason.DEADLINE_EXCEEDED, "forced, after its time"),
        (Reason.JOB_LOST, "nobody saw"),
    ],
)
def test_whose_sigkill_it_was(reason: Reason, text: str) -> None:
    assert text in meaning(replace(FAILED, signal=9, reason=reason))


def test_an_oom_kill_counts_under_any_reason() -> None:
    seen = Evidence("cgroup memory", "oom_kill +1", reason=Reason.OUT_OF_MEMORY)
    assert "lack of memory" in meaning(replace(FAILED, exit_code=137, evidence=(seen,)))


def test_a_success_needs_no_words() -> None:
    assert meaning(replace(FAILED, state=TerminalState.FINISHED, exit_code=0, reason=None)) == ""
