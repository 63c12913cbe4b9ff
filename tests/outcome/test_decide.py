"""Evidence of every rank, in any order: one outcome."""

from __future__ import annotations

import itertools
import json
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raydp_wrap.model import Evidence, Outcome, Rank, Reason, Submission, TerminalState, Usage
from raydp_wrap.outcome import decide, exit_status, to_dict

FINISHED, FAILED, KILLED, UNKNOWN = (
    TerminalState.FINISHED,
    TerminalState.FAILED,
    TerminalState.KILLED,
    TerminalState.UNKNOWN,
)
WHAT = Submission("s", "n", 1.0)
TERM, HUP, INT, KILL = (int(getattr(signal, f"SIG{name}")) for name in ("TERM", "HUP", "INT", "KILL"))


def waited(code: int | None = None, number: int | None = None) -> Evidence:
    state = FINISHED if code == 0 else FAILED
    reason = None if code == 0 else Reason.APP_FAILED
    text = f"the driver exited with {code}" if number is None else f"the driver was ended by {number}"
    return Evidence("wait status", text, Rank.WAIT_STATUS, 10.0, state, code, number, reason)


def asked(at: float = 5.0) -> Evidence:
    return Evidence("stop", "a stop was asked for", Rank.STOP, at, KILLED, reason=Reason.STOP_REQUESTED)


def deadline(at: float = 5.0) -> Evidence:
    return Evidence("guard", "the active deadline was exceeded", Rank.STOP, at, FAILED, reason=Reason.DEADLINE_EXCEEDED)


def cluster(state: TerminalState, code: int | None = None, reason: Reason | None = None) -> Evidence:
    return Evidence("cluster", f"the cluster has it {state.value}", Rank.CLUSTER, 9.0, state, code, reason=reason)


def launcher(state: TerminalState) -> Evidence:
    return Evidence("spark launcher", f"said {state.value}", Rank.LAUNCHER, 8.0, state)


NOTHING = Evidence("process tree", "empty, proven")

# facts/spark-launcher.md, line by line: what the launcher says, how the process ended, and what is true.
LAUNCHER_TABLE = [
    ("python sys.exit(3)", FINISHED, waited(3), FAILED, 3),
    ("python raises", FINISHED, waited(1), FAILED, 1),
    ("Java System.exit(3)", FINISHED, waited(3), FAILED, 3),
    ("Java throws", FINISHED, waited(1), FAILED, 1),
    ("SIGTERM to the JVM, not ours", FINISHED, waited(143), FAILED, 143),
    ("SIGHUP to the JVM, not ours", FINISHED, waited(129), FAILED, 129),
    ("SIGINT to the JVM, not ours", FINISHED, waited(130), FAILED, 130),
    ("SIGKILL to the JVM, not ours", None, waited(number=KILL), FAILED, 137),
    ("SIGTERM to python", FINISHED, waited(143), FAILED, 143),
    ("SIGKILL to python", FINISHED, waited(137), FAILED, 137),
    ("Runtime.halt(4)", None, waited(4), FAILED, 4),
    ("it succeeds", FINISHED, waited(0), FINISHED, 0),
    ("exit 0 of a failed application", FAILED, waited(0), FAILED, 1),
    ("exit 0 of an application that was killed", KILLED, waited(0), KILLED, 143),
    ("exit 0, and only an end of file", None, waited(0), FINISHED, 0),
    ("it failed, whatever the launcher says of success", FINISHED, waited(1), FAILED, 1),
    ("the launcher alone can't tell of success", FINISHED, None, FAILED, 125),
]


@pytest.mark.requirement("outcome-1.5", "outcome-1.2")
@pytest.mark.parametrize(
    ("said", "status", "state", "code"), [row[1:] for row in LAUNCHER_TABLE], ids=[r[0] for r in LAUNCHER_TABLE]
)
def test_the_launcher_only_downgrades_an_exit_0(
    said: TerminalState | None, status: Evidence | None, state: TerminalState, code: int
) -> None:
    found = [evidence for evidence in (status, launcher(said) if said else None, NOTHING) if evidence]
    outcome = decide(found, WHAT)
    assert outcome.state is state
    assert exit_status(outcome) == code


@pytest.mark.requirement("outcome-1.5", "raydp-4")
@pytest.mark.parametrize(
    "status", [waited(0), waited(1), waited(143), waited(number=TERM), waited(number=KILL), None], ids=str
)
@pytest.mark.parametrize("said", [None, FINISHED, FAILED, KILLED])
@pytest.mark.parametrize("truth", [None, FINISHED, FAILED, KILLED])
def test_a_stop_that_was_asked_for_beats_everything(
    status: Evidence | None, said: TerminalState | None, truth: TerminalState | None
) -> None:
    found = [asked(), status, launcher(said) if said else None, cluster(truth) if truth else None]
    outcome = decide([evidence for evidence in found if evidence], WHAT)
    assert (outcome.state, outcome.reason) == (KILLED, Reason.STOP_REQUESTED)
    assert outcome.exit_code != 0
    assert exit_status(outcome) != 0


@pytest.mark.requirement("outcome-1.2")
@pytest.mark.parametrize(
    ("truth", "status", "state", "code"),
    [
        (FINISHED, waited(1), FINISHED, 0),  # the submitter failed, the job succeeded
        (FINISHED, waited(number=KILL), FINISHED, 0),
        (FAILED, waited(0), FAILED, 1),
        (FAILED, waited(3), FAILED, 3),
        (KILLED, waited(0), KILLED, 143),
        (KILLED, None, KILLED, 143),
    ],
)
def test_the_cluster_s_truth_beats_the_wait_status(
    truth: TerminalState, status: Evidence | None, state: TerminalState, code: int
) -> None:
    outcome = decide([evidence for evidence in (cluster(truth), status) if evidence], WHAT)
    assert outcome.state is state
    assert exit_status(outcome) == code
    if status is not None and status.state is not state:
        assert "says otherwise: the driver" in outcome.diagnostics or status.observation in outcome.diagnostics


@pytest.mark.requirement("kube-9")
def test_a_submitter_that_failed_and_a_job_that_succeeded_is_a_case_of_its_own() -> None:
    outcome = decide([waited(1), cluster(FINISHED)], WHAT)
    assert (outcome.state, outcome.exit_code, outcome.reason) == (FINISHED, 0, None)
    assert outcome.diagnostics == "wait status says otherwise: the driver exited with 1"
    failed = decide(
        [Evidence("start", "no", Rank.WAIT_STATUS, 1.0, FAILED, 125, reason=Reason.SUBMISSION_FAILED)], WHAT
    )
    assert (failed.state, failed.reason) == (FAILED, Reason.SUBMISSION_FAILED)
    assert decide([waited(1)], WHAT).reason is Reason.APP_FAILED


@pytest.mark.requirement("outcome-1.2")
def test_the_cluster_s_own_code_is_kept() -> None:
    outcome = decide([cluster(FAILED, 7, Reason.OUT_OF_MEMORY), waited(0)], WHAT)
    assert (outcome.exit_code, outcome.reason) == (7, Reason.OUT_OF_MEMORY)


@pytest.mark.requirement("outcome-1.2")
def test_the_cluster_saying_that_it_was_killed_is_told_where_a_deadline_decided() -> None:
    outcome = decide([deadline(), cluster(KILLED), waited(number=TERM)], WHAT)
    assert (outcome.state, outcome.reason) == (FAILED, Reason.DEADLINE_EXCEEDED)
    assert "cluster says otherwise" in outcome.diagnostics


@pytest.mark.requirement("outcome-1.2", "fault-9")
@pytest.mark.parametrize(
    ("stop_at", "deadline_at", "reason"), [(1.0, 2.0, Reason.STOP_REQUESTED), (2.0, 1.0, Reason.DEADLINE_EXCEEDED)]
)
def test_of_a_stop_and_a_deadline_the_earlier_decides(stop_at: float, deadline_at: float, reason: Reason) -> None:
    assert decide([asked(stop_at), deadline(deadline_at), waited(0)], WHAT).reason is reason


@pytest.mark.requirement("outcome-1.2")
def test_where_two_of_one_rank_disagree_success_is_never_believed() -> None:
    outcome = decide([cluster(FINISHED), cluster(FAILED)], WHAT)
    assert outcome.state is FAILED
    assert "says otherwise" in outcome.diagnostics


@pytest.mark.requirement("outcome-1.1")
@pytest.mark.parametrize("found", [[], [NOTHING], [launcher(FINISHED)]], ids=str)
def test_without_a_word_on_its_end_a_job_is_lost(found: list[Evidence]) -> None:
    outcome = decide(found, WHAT)
    assert (outcome.state, outcome.reason) == (FAILED, Reason.JOB_LOST)
    assert exit_status(outcome) == 125
    assert "nothing says how it ended" in outcome.diagnostics


@pytest.mark.requirement("outcome-1.4")
def test_the_driver_s_output_stands_below_the_verdict() -> None:
    assert (
        decide([waited(1)], WHAT, output=lambda: "ValueError: x\nlast").diagnostics
        == "the driver exited with 1\nValueError: x\nlast"
    )


def test_a_success_is_not_asked_for_its_output() -> None:
    def unwanted() -> str:
        raise AssertionError

    assert decide([waited(0)], WHAT, output=unwanted).diagnostics == ""


anything = st.builds(
    Evidence,
    source=st.sampled_from(["a", "b", "c"]),
    observation=st.sampled_from(["x", "y", "z"]),
    rank=st.sampled_from(Rank),
    at=st.none() | st.integers(0, 3).map(float),
    state=st.sampled_from(TerminalState),
    exit_code=st.none() | st.integers(0, 3),
    signal=st.none() | st.sampled_from([INT, TERM, KILL]),
    reason=st.none() | st.sampled_from(Reason),
)


def sound(outcome: Outcome) -> None:
    assert outcome.state in (FINISHED, FAILED, KILLED)
    assert (outcome.state is FINISHED) == (outcome.exit_code == 0) == (exit_status(outcome) == 0)
    assert (outcome.reason is None) == (outcome.state is FINISHED)
    if outcome.state is not FINISHED:
        assert outcome.diagnostics


@pytest.mark.requirement("outcome-1.5", "outcome-1.1")
@given(st.lists(anything, max_size=4))
def test_any_order_of_the_same_evidence_gives_the_same_outcome(found: list[Evidence]) -> None:
    first = decide(found, WHAT)
    sound(first)
    for order in itertools.permutations(found):
        assert decide(order, WHAT) == first
    assert decide([*found, *found], WHAT) == first


@pytest.mark.requirement("outcome-1.2", "outcome-1.5")
@given(st.lists(anything, max_size=6))
def test_nobody_overrules_a_higher_rank(found: list[Evidence]) -> None:
    outcome = decide(found, WHAT)
    said = [evidence for evidence in found if evidence.state is not UNKNOWN and evidence.rank > Rank.LAUNCHER]
    if not said:
        assert outcome.reason is Reason.JOB_LOST
        return
    top = max(evidence.rank for evidence in said)
    best = {evidence.state for evidence in said if evidence.rank == top}
    gloomy = {e.state for e in found if e.rank is Rank.LAUNCHER and e.state in (FAILED, KILLED)}
    if top is Rank.WAIT_STATUS and best == {FINISHED} and gloomy:
        assert outcome.state in gloomy
    else:
        assert outcome.state in best
    if top is not Rank.STOP and FAILED in best:
        assert outcome.state is FAILED


odd_numbers = st.integers(-(1 << 70), 1 << 70) | st.sampled_from([-256, -100, 0, 256, 512, 1 << 40])
odd = st.builds(
    Evidence,
    source=st.text(),
    observation=st.text(min_size=1),
    rank=st.sampled_from(Rank),
    at=st.none() | st.floats() | st.just(10**400),
    state=st.sampled_from(TerminalState),
    exit_code=st.none() | odd_numbers,
    signal=st.none() | odd_numbers,
    reason=st.none() | st.sampled_from(Reason),
)


@pytest.mark.requirement("outcome-1.2", "outcome-1.5")
@given(st.lists(odd, max_size=3))
def test_numbers_that_there_are_not_make_no_success_and_no_trouble(found: list[Evidence]) -> None:
    outcome = decide(found, WHAT)
    sound(outcome)
    assert 0 <= exit_status(outcome) <= 255
    assert outcome.exit_code in (None, *range(256))
    assert outcome.signal in (None, *range(1, 65))
    json.dumps(to_dict(outcome), allow_nan=False).encode()
    for order in itertools.permutations(found):
        assert decide(order, WHAT) == outcome


@pytest.mark.requirement("outcome-1.2")
@pytest.mark.parametrize("code", [256, 1 << 40, -100, 0])
@pytest.mark.parametrize("state", [FAILED, KILLED, UNKNOWN])
def test_only_a_success_exits_with_0(state: TerminalState, code: int) -> None:
    outcome = Outcome("s", "n", 1, state, code, None, Reason.APP_FAILED, "", (), None, None, Usage())
    assert exit_status(outcome) in range(1, 256)
    outcome = Outcome("s", "n", 1, state, None, code - 128, Reason.APP_FAILED, "", (), None, None, Usage())
    assert exit_status(outcome) in range(1, 256)


@pytest.mark.requirement("outcome-1.4")
def test_evidence_is_kept_without_secrets_and_bounded() -> None:
    text = "\x1b[31mpassword=hunter2 "
    (first,) = decide([Evidence(text * 999, text * 9999, state=FAILED)], WHAT).evidence
    for kept, limit in ((first.source, 200), (first.observation, 4096)):
        assert "hunter2" not in kept
        assert "\x1b" not in kept
        assert kept.startswith("\\x1b[31mpassword=*** ")
        assert limit - 20 < len(kept.encode()) <= limit
