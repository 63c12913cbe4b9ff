"""Who is believed: the whole table of what a cluster says, where the driver ran, and how it ended here."""

from __future__ import annotations

import pytest
from raydp_wrap.model import Cause, Exit, ExitRecord, Submission, TerminalState, Usage
from raydp_wrap.outcome import from_record

from raydp_wrap_spark.cluster.truth import Told
from raydp_wrap_spark.cluster.verdict import verdict

FINISHED, FAILED, KILLED = TerminalState.FINISHED, TerminalState.FAILED, TerminalState.KILLED
RUNNING = TerminalState.UNKNOWN
NINE = -9


def record(status, cause=Cause.NONE):
    end = Exit(status) if status >= 0 else Exit(None, -status)
    return ExitRecord("an id", 1, 2, end, cause, None, 1.0, 2.0, 1.0, Usage(), tree_empty=True)


def decided(mode, state, status, cause=Cause.NONE):
    end = record(status, cause)
    told = Told("a cluster", state.value, state, "why, in\nits words")
    more = [verdict(told, mode, end, 2.0)]
    outcome = from_record(end, Submission("s", "n", 0.0), more=more)
    return outcome.state, outcome.exit_code, outcome.signal


@pytest.mark.requirement("cluster-rank")
@pytest.mark.parametrize(
    ("mode", "state", "status", "expected"),
    [
        ("cluster", FINISHED, 0, (FINISHED, 0, None)),
        ("cluster", FINISHED, 1, (FINISHED, 0, None)),  # the submitter failed, the application didn't
        ("cluster", FINISHED, NINE, (FINISHED, 0, None)),
        ("cluster", FAILED, 0, (FAILED, 1, None)),  # where stock spark-submit says 0
        ("cluster", FAILED, 255, (FAILED, 255, None)),
        ("cluster", FAILED, NINE, (FAILED, None, 9)),
        ("cluster", KILLED, 0, (KILLED, 143, None)),
        ("cluster", KILLED, 1, (KILLED, 1, None)),
        ("cluster", RUNNING, 0, (FINISHED, 0, None)),  # nobody was to wait: the submitter's end is all there is
        ("cluster", RUNNING, 7, (FAILED, 7, None)),
        ("client", FINISHED, 0, (FINISHED, 0, None)),
        ("client", FINISHED, 1, (FAILED, 1, None)),  # SPARK-42698
        ("client", FINISHED, NINE, (FAILED, None, 9)),
        ("client", FAILED, 0, (FAILED, 1, None)),
        ("client", FAILED, 3, (FAILED, 3, None)),
        ("client", KILLED, 0, (KILLED, 143, None)),  # SPARK-36624
        ("client", KILLED, 1, (KILLED, 1, None)),
        ("client", RUNNING, 0, (FINISHED, 0, None)),
        ("client", RUNNING, 3, (FAILED, 3, None)),
    ],
    ids=lambda value: value.value if isinstance(value, TerminalState) else str(value),
)
def test_who_is_believed(mode, state, status, expected):
    assert decided(mode, state, status) == expected


@pytest.mark.requirement("cluster-rank")
@pytest.mark.parametrize("mode", ["client", "cluster"])
@pytest.mark.parametrize("state", [FINISHED, FAILED, KILLED, RUNNING])
def test_a_stop_that_was_asked_for_goes_before_all(mode, state):
    assert decided(mode, state, 143, Cause.REQUEST)[0] is KILLED


def test_the_clusters_text_is_one_bounded_clause():
    told = Told("a cluster", "FAILED", FAILED, "a\n b" + "c" * 9000)
    said = verdict(told, "cluster", record(0), 2.0).observation
    assert said.startswith("FAILED on the cluster: a bccc")
    assert len(said) < 2100
