"""The outcome as JSON values, there and back."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raydp_wrap.model import Evidence, Outcome, Rank, Reason, TerminalState, Usage
from raydp_wrap.outcome import from_dict, to_dict

# Whole microseconds: that is what the text holds.
times = st.none() | st.integers(0, 4_000_000_000_000_000).map(lambda micros: micros / 1e6)
texts = st.text(max_size=20)
numbers = st.none() | st.integers(0, 255)
outcomes = st.builds(
    Outcome,
    submission_id=texts,
    name=texts,
    attempt=st.integers(1, 9),
    state=st.sampled_from(TerminalState),
    exit_code=numbers,
    signal=numbers,
    reason=st.none() | st.sampled_from(Reason),
    diagnostics=texts,
    evidence=st.lists(
        st.builds(
            Evidence,
            source=texts,
            observation=texts,
            rank=st.sampled_from(Rank),
            at=times,
            state=st.sampled_from(TerminalState),
            exit_code=numbers,
            signal=numbers,
            reason=st.none() | st.sampled_from(Reason),
        ),
        max_size=3,
    ).map(tuple),
    started_at=times,
    ended_at=times,
    rusage=st.builds(Usage, user_seconds=st.floats(0, 1e6), max_rss=st.integers(0, 1 << 40)),
    app_id=st.none() | texts,
    tags=st.dictionaries(texts, texts, max_size=3),
)


@pytest.mark.requirement("outcome-1.1")
@given(outcomes)
def test_what_is_kept_is_read_back(outcome: Outcome) -> None:
    found = from_dict(json.loads(json.dumps(to_dict(outcome))))
    assert to_dict(found) == to_dict(outcome)
    assert (found.state, found.evidence and found.evidence[0].rank) == (
        outcome.state,
        outcome.evidence and outcome.evidence[0].rank,
    )


@pytest.mark.requirement("kube-8")
def test_what_a_newer_version_added_is_left_out_and_what_an_older_one_lacks_has_its_default() -> None:
    raw = dict(to_dict(Outcome("s", "n", 1, TerminalState.FINISHED, 0, None, None, "", (), 1.0, 2.0, Usage())))
    newer = {
        **raw,
        "colour": "blue",
        "rusage": {**raw["rusage"], "joules": 3},
        "evidence": [{"source": "a", "observation": "b", "x": 1}],
    }
    found = from_dict(newer)
    assert found.evidence == (Evidence("a", "b"),)
    del raw["tags"], raw["app_id"]
    assert (from_dict(raw).tags, from_dict(raw).app_id) == ({}, None)


@pytest.mark.requirement("kube-7")
@pytest.mark.parametrize("code", [None, 0, 1])
def test_nothing_and_0_stay_two_things(code: int | None) -> None:
    outcome = Outcome("s", "n", 1, TerminalState.FAILED, code, None, None, "", (), None, None, Usage())
    assert from_dict(json.loads(json.dumps(to_dict(outcome)))).exit_code is code


@pytest.mark.parametrize("raw", [{}, {"state": "FINISHED"}, {"state": "GONE"}])
def test_what_is_no_outcome_is_refused(raw: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        from_dict(raw)


@pytest.mark.requirement("outcome-1.2")
@pytest.mark.parametrize("at", [math.inf, -math.inf, math.nan, 10**400, -(10**400), -1e300, -62135596801, 253402300800])
def test_a_time_that_is_none_is_not_shown(at: float) -> None:
    piece = Evidence("a", "b", at=at)
    raw = to_dict(Outcome("s", "n", 1, TerminalState.FAILED, 1, None, None, "", (piece,), at, at, Usage()))
    assert (raw["started_at"], raw["ended_at"], raw["evidence"][0]["at"]) == (None, None, None)


@pytest.mark.requirement("outcome-1.2")
@pytest.mark.parametrize(
    ("at", "text"),
    [(-62135596800, "0001-01-01T00:00:00.000000Z"), (math.nextafter(253402300800, 0), "9999-12-31T23:59:59.999969Z")],
)
def test_the_first_and_the_last_time_are_shown(at: float, text: str) -> None:
    outcome = Outcome("s", "n", 1, TerminalState.FAILED, 1, None, None, "", (), at, None, Usage())
    assert to_dict(outcome)["started_at"] == text
