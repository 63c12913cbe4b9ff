"""Who is tried again, when, and what counts."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raydp_wrap.errors import RaydpWrapError, UsageError
from raydp_wrap.job import Tally
from raydp_wrap.model import Evidence, Outcome, Rank, Reason, Submission, TerminalState
from raydp_wrap.outcome import REASONS, never_started
from raydp_wrap.outcome import decide as decide_outcome
from raydp_wrap.request import FailureRule, Operator, RetryPolicy, RuleAction, Unset
from raydp_wrap.retry import Decision, decide, retry_on
from raydp_wrap.testing import an_outcome

FINAL = [reason for reason in Reason if not REASONS[reason].retryable]
DEADLINES = [Reason.DEADLINE_EXCEEDED, Reason.ATTEMPT_DEADLINE_EXCEEDED, Reason.START_TIMEOUT]
IGNORE, FAIL, COUNT = RuleAction.IGNORE, RuleAction.FAIL, RuleAction.COUNT


def decided(policy: RetryPolicy, outcome: Outcome, failed: int = 0, ignored: int = 0) -> Decision:
    return decide(policy, outcome, failed=failed, ignored=ignored, chance=random.Random(7))


def failed_with(code: int | None = 1, number: int | None = None, reason: Reason = Reason.APP_FAILED) -> Outcome:
    return an_outcome(exit_code=code, signal=number, reason=reason)


CODES = st.lists(st.integers(1, 255), min_size=1, max_size=5, unique=True).map(tuple)
NUMBERS = st.lists(st.integers(1, 64), min_size=1, max_size=5, unique=True).map(tuple)
REASON_SETS = st.lists(st.sampled_from(Reason), min_size=1, max_size=5, unique=True).map(tuple)
ACTIONS = st.sampled_from(RuleAction)
OPERATORS = st.sampled_from(Operator)
RULES = st.one_of(
    st.builds(FailureRule, ACTIONS, exit_codes=CODES, operator=OPERATORS),
    st.builds(FailureRule, ACTIONS, signals=NUMBERS),
    st.builds(FailureRule, ACTIONS, reasons=REASON_SETS),
)
SECONDS = st.floats(0, 1e12)


def policies(rules: st.SearchStrategy[FailureRule] = RULES) -> st.SearchStrategy[RetryPolicy]:
    return st.builds(
        RetryPolicy,
        st.sampled_from([0, 1, 2, 7, None, Unset.UNSET]),
        SECONDS,
        SECONDS,
        st.floats(0, 1),
        st.lists(rules, max_size=4).map(tuple),
    )


ENDS = st.one_of(
    st.builds(failed_with, st.integers(1, 255), st.none(), st.sampled_from(Reason)),
    st.builds(failed_with, st.none(), st.integers(1, 64), st.sampled_from(Reason)),
)


@pytest.mark.requirement("jobs-1.2-retry", "retry-rule-2")
@given(policies())
def test_what_finished_or_was_killed_is_final(policy: RetryPolicy) -> None:
    finished = decided(policy, an_outcome(state=TerminalState.FINISHED, exit_code=0, reason=None))
    assert (finished.retry, finished.tally) == (False, Tally.SUCCEEDED)
    killed = decided(policy, an_outcome(state=TerminalState.KILLED, exit_code=143, reason=Reason.STOP_REQUESTED))
    assert (killed.retry, killed.tally, killed.why) == (False, Tally.STOPPED, "a stop was asked for")
    with pytest.raises(RaydpWrapError, match="has not ended"):
        decided(policy, an_outcome(state=TerminalState.UNKNOWN))


@pytest.mark.requirement("retry-rule-13")
def test_a_suspended_attempt_did_not_fail() -> None:
    ended = an_outcome(state=TerminalState.KILLED, reason=Reason.SUSPENDED)
    assert decided(RetryPolicy(9), ended) == Decision(
        retry=False, tally=Tally.SUSPENDED, pause=0.0, why="it was suspended"
    )


@pytest.mark.requirement("retry-rule-1", "retry-rule-3")
@pytest.mark.parametrize("reason", Reason)
def test_every_reason_is_decided_by_its_row(reason: Reason) -> None:
    decision = decided(RetryPolicy(5), failed_with(reason=reason))
    assert decision.retry is REASONS[reason].retryable
    assert decision.tally is Tally.FAILED


@pytest.mark.requirement("retry-rule-3", "jobs-1.2-retry")
@given(policies(), st.sampled_from(FINAL), st.integers(0, 9), st.integers(0, 9))
def test_what_is_never_retried_is_not_by_any_rule(
    policy: RetryPolicy, reason: Reason, failed: int, ignored: int
) -> None:
    decision = decided(policy, failed_with(7, None, reason), failed, ignored)
    assert (decision.retry, decision.tally, decision.pause) == (False, Tally.FAILED, 0.0)
    assert decision.why == f"{REASONS[reason].text}, which is never retried"


@pytest.mark.requirement("retry-rule-3", "retry-rule-12")
@pytest.mark.parametrize("reason", DEADLINES)
def test_no_deadline_is_retried_whatever_a_rule_says(reason: Reason) -> None:
    policy = RetryPolicy(9, rules=(FailureRule(IGNORE, reasons=(reason,)),))
    assert not decided(policy, failed_with(None, 9, reason)).retry


@pytest.mark.requirement("retry-rule-12")
def test_the_two_deadlines_are_two_reasons_with_words_of_their_own() -> None:
    whys = {decided(RetryPolicy(1), failed_with(reason=reason)).why for reason in DEADLINES}
    assert len(whys) == len(DEADLINES)


@pytest.mark.requirement("retry-rule-4", "jobs-1.2-retry")
@given(policies(RULES.filter(lambda rule: rule.action is not IGNORE)), st.lists(ENDS, min_size=9, max_size=9))
def test_attempts_in_all_are_at_most_one_more_than_the_limit(policy: RetryPolicy, ends: list[Outcome]) -> None:
    failed = attempts = 0
    for end in ends:
        attempts += 1
        decision = decided(policy, end, failed)
        assert decision.tally is Tally.FAILED
        failed += 1
        if not decision.retry:
            break
    assert attempts == failed <= policy.limit + 1


@pytest.mark.requirement("retry-rule-4")
@pytest.mark.parametrize("limit", [0, 1, 6])
def test_attempts_in_all_are_exactly_one_more_than_the_limit_where_all_fail(limit: int) -> None:
    policy = RetryPolicy(limit)
    retries = [decided(policy, failed_with(), failed).retry for failed in range(limit + 1)]
    assert retries == [True] * limit + [False]


@pytest.mark.requirement("jobs-1.2-retry")
@pytest.mark.parametrize("limit", [Unset.UNSET, None, 0])
def test_by_default_nothing_is_retried(limit: int | Unset | None) -> None:
    decision = decided(RetryPolicy(limit), failed_with())
    assert (decision.retry, decision.why) == (False, "no retry was asked for")


@pytest.mark.requirement("jobs-1.2-retry")
@given(policies(), ENDS, st.integers(0, 5000), st.integers(0, 5000), st.integers())
def test_pauses_are_bounded(policy: RetryPolicy, end: Outcome, failed: int, ignored: int, seed: int) -> None:
    decision = decide(policy, end, failed=failed, ignored=ignored, chance=random.Random(seed))
    if not decision.retry:
        assert decision.pause == 0.0
        return
    doubled = policy.backoff_first * 2.0 ** min(failed + ignored, 900)
    least = 1.0 if failed + ignored + 2 >= 10 else 0.0  # what is paused before is attempt failed + ignored + 2
    longest = min(policy.backoff_cap, doubled)
    assert max(least, longest * (1 - policy.jitter) * 0.999999) <= decision.pause <= max(least, longest)


@pytest.mark.requirement("jobs-1.2-least-pause")
@pytest.mark.parametrize("cap", [0.0, 0.5, 360.0])
def test_from_the_tenth_attempt_on_there_is_a_pause(cap: float) -> None:
    policy = RetryPolicy(99, backoff_first=0.0, backoff_cap=cap, rules=(FailureRule(IGNORE, exit_codes=(75,)),))
    for end in (failed_with(75), failed_with(1)):
        assert [decided(policy, end, 3, ignored).pause for ignored in range(9)] == [0.0] * 5 + [1.0] * 4


@pytest.mark.requirement("jobs-1.2-retry")
def test_pauses_double_up_to_the_cap_and_ignored_attempts_move_them_on() -> None:
    policy = RetryPolicy(9, jitter=0.0)
    pauses = [decided(policy, failed_with(), failed).pause for failed in range(8)]
    assert pauses == [10, 20, 40, 80, 160, 320, 360, 360]
    assert decided(policy, failed_with(), 1, 2).pause == 80


@pytest.mark.requirement("jobs-1.2-retry")
def test_jitter_is_by_the_chance_that_is_given() -> None:
    policy = RetryPolicy(1, backoff_first=100, jitter=0.5)
    drawn = [decide(policy, failed_with(), failed=0, ignored=0, chance=random.Random(3)).pause for _ in range(2)]
    assert drawn[0] == drawn[1] == 100 * (1 - 0.5 * random.Random(3).random())


FIRST_MATCH: list[Any] = [
    # rules, exit code, signal, reason → retry, tally, why
    ((FailureRule(IGNORE, (52,)),), 52, None, Reason.APP_FAILED,
     (True, Tally.IGNORED, "exit code 52 is ignored by rule 1")),
    ((FailureRule(FAIL, (3,)),), 3, None, Reason.APP_FAILED, (False, Tally.FAILED, "exit code 3 is final by rule 1")),
    ((FailureRule(COUNT, (3,)), FailureRule(FAIL, (3,))), 3, None, Reason.APP_FAILED,
     (True, Tally.FAILED, "failure 1, retried up to 2")),
    ((FailureRule(FAIL, (4,)), FailureRule(IGNORE, (3,)), FailureRule(FAIL, (3,))), 3, None, Reason.APP_FAILED,
     (True, Tally.IGNORED, "exit code 3 is ignored by rule 2")),
    ((FailureRule(FAIL, (0, 3), Operator.NOT_IN),), 3, None, Reason.APP_FAILED,
     (True, Tally.FAILED, "failure 1, retried up to 2")),
    ((FailureRule(FAIL, (0, 3), Operator.NOT_IN),), 4, None, Reason.APP_FAILED,
     (False, Tally.FAILED, "exit code 4 is final by rule 1")),
    # Ended by a signal: no code, so neither one of them nor none of them.
    ((FailureRule(FAIL, (137,)), FailureRule(FAIL, (3,), Operator.NOT_IN)), None, 9, Reason.APP_FAILED,
     (True, Tally.FAILED, "failure 1, retried up to 2")),
    ((FailureRule(IGNORE, signals=(9, 15)),), None, 9, Reason.APP_FAILED,
     (True, Tally.IGNORED, "SIGKILL is ignored by rule 1")),
    ((FailureRule(IGNORE, signals=(9,)),), 9, None, Reason.APP_FAILED,
     (True, Tally.FAILED, "failure 1, retried up to 2")),
    ((FailureRule(FAIL, reasons=(Reason.OUT_OF_MEMORY,)),), None, 9, Reason.OUT_OF_MEMORY,
     (False, Tally.FAILED, "reason OutOfMemory is final by rule 1")),
    ((FailureRule(IGNORE, reasons=(Reason.JOB_LOST,)),), None, None, Reason.JOB_LOST,
     (True, Tally.IGNORED, "reason JobLost is ignored by rule 1")),
]  # fmt: skip


@pytest.mark.requirement("jobs-1.2-retry", "retry-rule-1")
@pytest.mark.parametrize(("rules", "code", "number", "reason", "expected"), FIRST_MATCH)
def test_the_first_rule_that_matches_decides(
    rules: tuple[FailureRule, ...],
    code: int | None,
    number: int | None,
    reason: Reason,
    expected: tuple[bool, Tally, str],
) -> None:
    decision = decided(RetryPolicy(2, rules=rules), failed_with(code, number, reason))
    assert (decision.retry, decision.tally, decision.why) == expected


@pytest.mark.requirement("jobs-1.2-retry")
def test_what_is_ignored_does_not_use_the_limit_up() -> None:
    policy = RetryPolicy(1, rules=(FailureRule(IGNORE, (52,)),))
    assert decided(policy, failed_with(52), failed=1, ignored=40).retry
    assert decided(policy, failed_with(1), failed=0, ignored=40).retry
    decision = decided(policy, failed_with(1), failed=1, ignored=40)
    assert (decision.retry, decision.why) == (False, "the backoff limit of 1 is reached")


SUBMISSION = Submission("s", "s", 0.0)


@pytest.mark.requirement("retry-rule-9")
def test_a_submission_that_failed_is_told_from_an_application_that_failed() -> None:
    """By its evidence: both have the same exit code."""
    policy = RetryPolicy(2, rules=(FailureRule(FAIL, reasons=(Reason.SUBMISSION_FAILED,)),))
    not_started = never_started("there is no such command", SUBMISSION, at=0.0, status=127)
    exited = Evidence("wait status", "exited", Rank.WAIT_STATUS, 0.0, TerminalState.FAILED, 127)
    app_failed = decide_outcome([exited], SUBMISSION)
    assert not_started.exit_code == app_failed.exit_code == 127
    assert not decided(policy, not_started).retry
    assert decided(policy, app_failed).retry


@pytest.mark.requirement("retry-rule-9")
def test_where_the_submitter_failed_and_the_job_succeeded_nothing_is_retried() -> None:
    submitter = Evidence("wait status", "exited with 1", Rank.WAIT_STATUS, 0.0, TerminalState.FAILED, 1)
    cluster = Evidence("cluster", "succeeded", Rank.CLUSTER, 0.0, TerminalState.FINISHED, 0)
    decision = decided(RetryPolicy(5), decide_outcome([submitter, cluster], SUBMISSION))
    assert (decision.retry, decision.tally) == (False, Tally.SUCCEEDED)


@pytest.mark.requirement("jobs-1.2-retry")
@pytest.mark.parametrize(
    ("words", "rules"),
    [
        ("52", (FailureRule(IGNORE, (52,)),)),
        (" 52 ,3,52", (FailureRule(IGNORE, (52, 3)),)),
        ("137", (FailureRule(IGNORE, (137,)), FailureRule(IGNORE, signals=(9,)))),
        ("52,sigkill,TERM", (FailureRule(IGNORE, (52, 137, 143)), FailureRule(IGNORE, signals=(9, 15)))),
        ("128,200", (FailureRule(IGNORE, (128, 200)),)),
        ("JobLost,outofmemory", (FailureRule(IGNORE, reasons=(Reason.JOB_LOST, Reason.OUT_OF_MEMORY)),)),
    ],
)
def test_the_short_form(words: str, rules: tuple[FailureRule, ...]) -> None:
    assert retry_on(words) == rules
    RetryPolicy(rules=rules).check()


@pytest.mark.requirement("jobs-1.2-retry")
def test_the_short_form_retries_these_ends_for_ever_and_others_by_the_limit() -> None:
    policy = RetryPolicy(1, rules=retry_on("52,SIGKILL"))
    for code, number in ((52, None), (137, None), (None, 9)):
        decision = decided(policy, failed_with(code, number), failed=1, ignored=99)
        assert (decision.retry, decision.tally) == (True, Tally.IGNORED)
    assert [decided(policy, failed_with(3), failed).retry for failed in (0, 1)] == [True, False]


@pytest.mark.requirement("jobs-1.2-retry")
@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("", "'' is no end that can be retried"),
        ("52,", "'' is no end"),
        ("0", "'0' is no failure's exit code: give numbers from 1 to 255."),
        ("256", "'256' is no failure's exit code"),
        ("9" * 10_000, "is no failure's exit code"),
        ("-1", "'-1' is no end"),
        ("SIGNOTHING", "'SIGNOTHING' is no end"),
        ("\u0665", "is no end"),
        ("DeadlineExceeded", "DeadlineExceeded is never retried: leave it out."),
    ],
)
def test_a_short_form_that_makes_no_sense_is_a_sentence(words: str, says: str) -> None:
    with pytest.raises(UsageError) as raised:
        retry_on(words)
    assert says in str(raised.value)
    assert len(str(raised.value)) < 200


@pytest.mark.requirement("retry-rule-1")
@given(policies(), ENDS, st.integers(0, 9), st.integers(0, 9))
def test_a_decision_depends_on_what_is_given_alone(
    policy: RetryPolicy, end: Outcome, failed: int, ignored: int
) -> None:
    decision = decided(policy, end, failed, ignored)
    assert decision == decided(policy, end, failed, ignored)
    assert decision.why
    assert not decision.why.endswith(".")
    assert decision.tally in (Tally.FAILED, Tally.IGNORED)
    assert decision.retry or decision.tally is Tally.FAILED
