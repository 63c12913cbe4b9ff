"""Our own lines: few, last, and never what a tool that reads a log would take for the application's."""

from __future__ import annotations

import contextlib
import io
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raydp_wrap.cli.messages import diagnose, say
from raydp_wrap.model import Evidence, Outcome, Reason, TerminalState, Usage

if TYPE_CHECKING:
    from collections.abc import Callable

# What Apache Airflow's SparkSubmitHook and Livy look for in the merged output.
PARSED = [
    r"(application[0-9_]+)",
    r"(driver-[0-9\-]+)",
    r"\s*pod name: ((.+?)-([a-z0-9]+)-driver$)",
    r"submission ID spark:(.+?-driver)",
    r"\s*[eE]xit code: (\d+)",
    r"version (.*)",
    r"spark-app-selector -> ([^,]+), ",
    r'Exception in thread "',
    r"driverState",
    r"submissionId",
]
TOKENS = st.sampled_from(
    [
        *(
            "application_1_2",
            "application7",
            "application",
            "driver-2026-1",
            "driver-",
            "exit code: 3",
            "Exit code:  4",
        ),
        *("spark-app-selector -> a, ", 'Exception in thread "main"', '"driverState" : "X"', '"submissionId" : "x"'),
        *("exit code", "version 3.5", "version ", "pod name: a-b-driver", "submission ID spark:a-driver", " ", "x"),
    ]
)


def outcome(
    state: TerminalState = TerminalState.FAILED,
    reason: Reason | None = Reason.APP_FAILED,
    diagnostics: str = "the driver exited with 3",
    evidence: tuple[Evidence, ...] = (),
    signal: int | None = None,
) -> Outcome:
    return Outcome("id", "name", 1, state, 3, signal, reason, diagnostics, evidence, None, None, Usage())


@pytest.mark.requirement("own-lines-tokens")
@given(st.lists(TOKENS | st.text(max_size=5)).map("".join))
def test_no_line_of_ours_holds_what_other_tools_look_for(text: str) -> None:
    said = spoken(lambda: say(text))
    assert [pattern for pattern in PARSED if re.search(pattern, said)] == []


def spoken(call: Callable[[], None]) -> str:
    stream = io.StringIO()
    with contextlib.redirect_stderr(stream):
        call()
    return stream.getvalue()


@pytest.mark.requirement("own-lines-diagnosis")
def test_a_failure_is_diagnosed_in_15_lines_at_most() -> None:
    pieces = tuple(Evidence("spark", f"piece {n}\nof two lines" + "x" * 9000) for n in range(40))
    lines = spoken(lambda: diagnose(outcome(evidence=pieces))).splitlines()
    assert lines[0] == "raydp-wrap: FAILED (AppFailed): the driver exited with 3"
    assert len(lines) == 15
    assert max(map(len, lines)) < 2100
    assert all(line.startswith("raydp-wrap: ") for line in lines)


@pytest.mark.requirement("own-lines-diagnosis")
def test_what_the_verdict_has_said_is_not_said_again() -> None:
    said = ("wait status", "process tree", "stop", "signal")
    pieces = (*(Evidence(source, "again") for source in said), Evidence("spark", "Spark's code for X"))
    lines = spoken(lambda: diagnose(outcome(evidence=pieces))).splitlines()
    assert lines[1:] == ["raydp-wrap: spark: Spark's code for X"]


@pytest.mark.requirement("own-lines-diagnosis")
@pytest.mark.parametrize(
    "ended",
    [
        outcome(TerminalState.FINISHED, None, ""),
        outcome(TerminalState.KILLED, Reason.STOP_REQUESTED, "a stop was asked for"),
    ],
)
def test_a_success_and_a_stop_that_was_heeded_need_no_words(ended: Outcome) -> None:
    assert spoken(lambda: diagnose(ended)) == ""
