"""What is asked for: refused where it makes no sense, and the same after a way through JSON."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raydp_wrap.errors import UsageError
from raydp_wrap.model import Reason
from raydp_wrap.request import (
    Condition,
    Dependency,
    FailureRule,
    Operator,
    Phase,
    Preparation,
    Request,
    RetryPolicy,
    RuleAction,
    Unset,
)

WORDS = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"])
    | st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF),
    max_size=8,
)
NAMES = st.text("abc_", min_size=1, max_size=4)
SECONDS = st.floats(0.001, 1e6)
RULES = st.one_of(
    st.builds(
        FailureRule,
        st.sampled_from(RuleAction),
        exit_codes=st.lists(st.integers(1, 255), min_size=1, max_size=3, unique=True).map(tuple),
        operator=st.sampled_from(Operator),
    ),
    st.builds(FailureRule, st.sampled_from(RuleAction), signals=st.just((9, 15))),
    st.builds(FailureRule, st.sampled_from(RuleAction), reasons=st.just((Reason.JOB_LOST, Reason.OUT_OF_MEMORY))),
)
POLICIES = st.builds(
    RetryPolicy,
    st.sampled_from([Unset.UNSET, None, 0, 3]),
    SECONDS,
    SECONDS,
    st.floats(0, 1),
    st.lists(RULES, max_size=3).map(tuple),
)
PREPARATIONS = st.builds(
    Preparation,
    st.sampled_from(["env", "\u00e4 b"]),
    st.just(("setup", "it")),
    st.sampled_from([(), ("verify",)]),
    st.sampled_from([(), ("cleanup",)]),
    SECONDS,
)
REQUESTS = st.builds(
    Request,
    st.lists(WORDS, min_size=1, max_size=3).filter(lambda argv: argv[0] != "").map(tuple),
    name=WORDS,
    cwd=st.none() | WORDS,
    env=st.dictionaries(NAMES, WORDS, max_size=2),
    sinks=st.lists(WORDS, max_size=2).map(tuple),
    tags=st.dictionaries(NAMES, WORDS, max_size=2),
    metadata=st.dictionaries(NAMES, WORDS, max_size=2),
    grace=st.sampled_from([0.0, 10.0, 3.5]),
    stop_signal=st.sampled_from([2, 15]),
    active_deadline=st.none() | SECONDS,
    attempt_deadline=st.none() | SECONDS,
    start_timeout=st.none() | SECONDS,
    retry=POLICIES,
    priority=st.integers(-5, 5),
    cpus=st.sampled_from([0.0, 0.5, 4.0]),
    memory=st.sampled_from([0, 1 << 30]),
    slots=st.dictionaries(st.sampled_from(["gpu", "licence"]), st.sampled_from([0.0, 1.0, 2.5]), max_size=2),
    after=st.lists(st.builds(Dependency, NAMES, st.sampled_from(Condition)), max_size=2).map(tuple),
    preparation=st.none() | PREPARATIONS,
    ttl_after_finished=st.none() | st.sampled_from([0.0, 60.0]),
    suspend=st.booleans(),
    split_output=st.booleans(),
    log_limit=st.none() | st.integers(1, 1 << 40),
)


def through_json(request: Request) -> Request:
    return Request.from_dict(json.loads(json.dumps(request.to_dict())))


@pytest.mark.requirement("jobs-1.2-retry")
@given(REQUESTS)
def test_a_request_is_the_same_after_a_way_through_json(request: Request) -> None:
    request.check()
    assert through_json(request) == request


@pytest.mark.requirement("retry-rule-7")
@pytest.mark.parametrize(
    ("limit", "kept"), [(Unset.UNSET, {}), (None, {"backoff_limit": None}), (0, {"backoff_limit": 0})]
)
def test_a_limit_that_is_unset_null_or_0_stays_what_it_is(limit: int | Unset | None, kept: dict[str, Any]) -> None:
    request = Request(("true",), retry=RetryPolicy(limit))
    request.check()
    assert request.to_dict()["retry"] == kept
    assert through_json(request).retry.backoff_limit is limit
    assert request.retry.limit == 0


@pytest.mark.requirement("retry-rule-8")
@given(REQUESTS)
def test_what_a_newer_version_added_is_left_out(request: Request) -> None:
    raw = {**request.to_dict(), "a_newer_field": {"x": 1}}
    raw["retry"] = {**raw["retry"], "newer": 1}
    if "preparation" in raw:
        raw["preparation"] = {**raw["preparation"], "newer": 1}
    assert Request.from_dict(raw) == request


@pytest.mark.requirement("retry-rule-8")
def test_what_an_older_version_did_not_know_is_as_it_was_then() -> None:
    assert Request.from_dict({"argv": ["true"]}) == Request(("true",))
    assert Request(("true",)).to_dict() == {"argv": ["true"], "retry": {}}


@pytest.mark.parametrize(
    "raw", [{}, {"argv": ["x"], "retry": {"rules": [{"action": "Dance"}]}}, {"argv": ["x"], "after": [{}]}]
)
def test_what_is_no_request_is_refused(raw: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        Request.from_dict(raw)


FAIL = RuleAction.FAIL
MANY = tuple(FailureRule(FAIL, (code,)) for code in range(1, 22))


def rules(*given_rules: FailureRule) -> dict[str, Any]:
    return {"retry": RetryPolicy(rules=given_rules)}


@pytest.mark.requirement("jobs-1.2-retry", "jobs-4.2-wrong-values")
@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"argv": ()}, "no command"),
        ({"argv": ("",)}, "no command"),
        ({"argv": ("a", "b"), "shell": True}, "quote it"),
        ({"argv": ("a\0",)}, "NUL"),
        ({"cwd": "\0"}, "NUL"),
        ({"env": {"A": "\0"}}, "NUL"),
        ({"env": {"A=B": "x"}}, "NAME=VALUE"),
        ({"env": {"": "x"}}, "NAME=VALUE"),
        ({"grace": -1.0}, "grace"),
        ({"grace": float("inf")}, "grace"),
        ({"stop_signal": 0}, "signal"),
        ({"stop_signal": 65}, "signal"),
        ({"active_deadline": 0.0}, "active deadline"),
        ({"attempt_deadline": float("nan")}, "attempt's deadline"),
        ({"start_timeout": -1.0}, "start timeout"),
        ({"ttl_after_finished": -1.0}, "keep"),
        ({"log_limit": 0}, "limit"),
        ({"cpus": -1.0}, "cpus"),
        ({"cpus": float("nan")}, "cpus"),
        ({"memory": -1}, "memory"),
        ({"slots": {"gpu": -1.0}}, "gpu"),
        ({"slots": {"": 1.0}}, "name"),
        ({"slots": {"cpus": 1.0}}, "cpus can't be a slot"),
        ({"slots": {"memory": 1.0}}, "memory can't be a slot"),
        ({"retry": RetryPolicy(-1)}, "backoff limit can't be -1: give 0"),
        ({"retry": RetryPolicy(2.5)}, "backoff limit can't be 2.5"),  # type: ignore[arg-type]
        ({"retry": RetryPolicy(1, backoff_first=-1.0)}, "pause"),
        ({"retry": RetryPolicy(1, backoff_cap=float("inf"))}, "longest pause"),
        ({"retry": RetryPolicy(1, jitter=1.5)}, "jitter"),
        ({"retry": RetryPolicy(1, jitter=float("nan"))}, "jitter"),
        (rules(*MANY), "at most 20"),
        (rules(FailureRule(FAIL)), "exactly one"),
        (rules(FailureRule(FAIL, (1,), signals=(9,))), "exactly one"),
        (rules(FailureRule(FAIL, (0,))), "from 1 to 255"),
        (rules(FailureRule(FAIL, (256,), Operator.NOT_IN)), "from 0 to 255"),
        (rules(FailureRule(FAIL, (3, 3))), "twice"),
        (rules(FailureRule(FAIL, signals=(65,))), "from 1 to 64"),
        (rules(FailureRule(FAIL, ("1",))), "of type str"),  # type: ignore[arg-type]
        (rules(FailureRule("Fail", (1,))), "RuleAction"),  # type: ignore[arg-type]
        (rules(FailureRule(FAIL, reasons=("JobLost",))), "Reason"),  # type: ignore[arg-type]
        ({"retry": RetryPolicy(rules=(FAIL,))}, "FailureRule"),  # type: ignore[arg-type]
        ({"retry": RetryPolicy(True)}, "of type bool"),  # noqa: FBT003
        ({"retry": RetryPolicy(10**5000)}, "so large"),
        ({"retry": RetryPolicy(1, backoff_first=2e9)}, "1e9"),
        ({"retry": 3}, "RetryPolicy"),
        ({"priority": "9"}, "priority can't be of type str"),
        ({"priority": 0.5}, "priority"),
        ({"priority": 1_000_001}, "1,000,000"),
        ({"priority": -1_000_001}, "1,000,000"),
        ({"stop_signal": "TERM"}, "stop signal"),
        ({"stop_signal": True}, "stop signal"),
        ({"log_limit": 1.5}, "log's limit"),
        ({"log_limit": True}, "log's limit"),
        ({"memory": 1.5}, "memory"),
        ({"memory": 10**15 + 1}, "1e15"),
        ({"cpus": "2"}, "cpus"),
        ({"cpus": 1.1e15}, "1e15"),
        ({"cpus": True}, "cpus"),
        ({"slots": {"gpu": "1"}}, "gpu"),
        ({"slots": {"gpu": 1e303}}, "1e15"),
        ({"slots": {1: 1.0}}, "slot's name"),
        ({"slots": ["gpu"]}, "slots"),
        ({"grace": "9"}, "grace"),
        ({"grace": 1e300}, "1e9"),
        ({"active_deadline": "1h"}, "active deadline"),
        ({"attempt_deadline": 10**400}, "so large"),
        ({"start_timeout": False}, "start timeout"),
        ({"ttl_after_finished": 2e9}, "keep"),
        ({"name": b"x"}, "name"),
        ({"name": None}, "name"),
        ({"cwd": 7}, "directory"),
        ({"backend": 7}, "backend"),
        ({"argv": "true"}, "command"),
        ({"argv": ("true", 7)}, "a word of the command"),
        ({"env": {"A": 7}}, "variables"),
        ({"env": {7: "A"}}, "variables"),
        ({"env": [("A", "B")]}, "variables"),
        ({"tags": {"A": None}}, "tags"),
        ({"metadata": {"A": 1}}, "metadata"),
        ({"argv": ("\ud800",)}, "surrogate"),
        ({"cwd": "\ud800"}, "surrogate"),
        ({"env": {"A": "\udfff"}}, "surrogate"),
        ({"sinks": "file:x"}, "sinks"),
        ({"shell": 1}, "shell"),
        ({"suspend": "no"}, "suspend"),
        ({"split_output": None}, "split_output"),
        ({"after": "job"}, "come after"),
        ({"after": ("job",)}, "Dependency"),
        ({"after": (Dependency(7),)}, "come after"),  # type: ignore[arg-type]
        ({"after": (Dependency("\ud800"),)}, "come after"),
        ({"after": (Dependency("job", "any"),)}, "Condition"),  # type: ignore[arg-type]
        ({"preparation": "env"}, "Preparation"),
        ({"preparation": Preparation(7, ("setup",))}, "key"),  # type: ignore[arg-type]
        ({"preparation": Preparation("a", "setup")}, "list of texts"),  # type: ignore[arg-type]
        ({"preparation": Preparation("a", ("setup", "\ud800"))}, "surrogate"),
        ({"preparation": Preparation("a", ("setup",), timeout="1m")}, "timeout"),  # type: ignore[arg-type]
        ({"preparation": Preparation("", ("setup",))}, "key"),
        ({"preparation": Preparation("x" * 101, ("setup",))}, "key"),
        ({"preparation": Preparation("a\nb", ("setup",))}, "key"),
        ({"preparation": Preparation("a", verify=("verify",), cleanup=("cleanup",))}, "setup command"),
        ({"preparation": Preparation("a")}, "at least"),
        ({"preparation": Preparation("a", ("",))}, "empty"),
        ({"preparation": Preparation("a", ("x", "\0"))}, "NUL"),
        ({"preparation": Preparation("a", ("setup",), timeout=0.0)}, "timeout"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_sentence(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError) as raised:
        Request(**{"argv": ("true",), **wrong}).check()
    assert says in str(raised.value)
    assert str(raised.value).endswith(".")
    assert ":" in str(raised.value) or "give" in str(raised.value) or "needs" in str(raised.value)


def test_not_in_may_name_0() -> None:
    RetryPolicy(rules=(FailureRule(FAIL, (0, 3), Operator.NOT_IN),)).check()


@pytest.mark.requirement("jobs-1.5-slots")
def test_what_it_needs_has_no_zeros() -> None:
    assert Request(("x",), cpus=0.5, slots={"gpu": 1.0, "licence": 0.0}).needs == {"gpu": 1.0, "cpus": 0.5}
    assert Request(("x",), memory=7).needs == {"memory": 7.0}


@pytest.mark.requirement("retry-rule-12")
def test_the_deadline_of_all_and_the_one_of_each_attempt_are_two_fields() -> None:
    names = {field.name for field in fields(Request)}
    assert {"active_deadline", "attempt_deadline"} <= names
    raw = Request(("x",), active_deadline=9.0, attempt_deadline=3.0).to_dict()
    assert (raw["active_deadline"], raw["attempt_deadline"]) == (9.0, 3.0)


def test_the_last_three_phases_are_terminal() -> None:
    assert [phase.value for phase in Phase if phase.terminal] == ["FINISHED", "FAILED", "KILLED"]
