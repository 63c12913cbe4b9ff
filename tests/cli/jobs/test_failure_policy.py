"""A failure policy from a file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from raydp_wrap.cli.jobs.failure_policy import read_policy, rules_of
from raydp_wrap.errors import UsageError
from raydp_wrap.model import Reason
from raydp_wrap.request import FailureRule, Operator, RuleAction

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.requirement("jobs-4.1-submit")


def test_as_kubernetes_writes_it(tmp_path: Path) -> None:
    raw = {
        "rules": [
            {"action": "FailJob", "onExitCodes": {"containerName": "main", "operator": "In", "values": [42, 43]}},
            {"action": "Count", "onExitCodes": {"operator": "NotIn", "values": [0, 1]}},
            {"action": "Ignore", "onSignals": {"values": ["SIGKILL", "term", 1]}},
            {"action": "Fail", "onReasons": {"values": ["OutOfMemory"]}},
        ]
    }
    path = tmp_path / "policy.json"
    path.write_text(json.dumps({"podFailurePolicy": raw}))
    assert (
        read_policy(str(path))
        == rules_of(raw)
        == (
            FailureRule(RuleAction.FAIL, (42, 43), Operator.IN),
            FailureRule(RuleAction.COUNT, (0, 1), Operator.NOT_IN),
            FailureRule(RuleAction.IGNORE, signals=(9, 15, 1)),
            FailureRule(RuleAction.FAIL, reasons=(Reason.OUT_OF_MEMORY,)),
        )
    )


def rule(**more: Any) -> dict[str, Any]:
    return {"rules": [{"action": "Ignore", **more}]}


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ([], "has to be"),
        ({"rules": [], "more": 1}, "has to be"),
        ({"rules": [1]}, "rule 1 is no object"),
        ({"rules": [{"action": "FailIndex", "onExitCodes": {"values": [1]}}]}, "FailIndex"),
        (rule(), "exactly one"),
        (rule(onExitCodes={"values": [1]}, onReasons={"values": ["JobLost"]}), "exactly one"),
        (rule(onPodConditions=[]), "exactly one"),
        (rule(onExitCodes=[1]), '"values"'),
        (rule(onExitCodes={"values": [1], "x": 1}), '"values"'),
        (rule(onExitCodes={"values": ["1"]}), "no exit code"),
        (rule(onExitCodes={"values": [True]}), "no exit code"),
        (rule(onExitCodes={"values": [0]}), "rule 1: 0"),
        (rule(onExitCodes={"values": []}), "rule 1"),
        (rule(onExitCodes={"values": [1], "operator": "Exists"}), "Exists"),
        (rule(onSignals={"values": ["SIGNONE"]}), "no signal"),
        (rule(onReasons={"values": ["Sad"]}), "no reason"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(raw: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        rules_of(raw)


def test_a_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "bad").write_bytes(b"\xff{")
    (tmp_path / "deep").write_bytes(b"[" * 100_000)
    for name in ("bad", "deep"):
        with pytest.raises(UsageError, match="is not JSON"):
            read_policy(str(tmp_path / name))
    with pytest.raises(UsageError, match="can't be read"):
        read_policy(str(tmp_path))
