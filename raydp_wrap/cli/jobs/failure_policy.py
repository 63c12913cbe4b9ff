"""A failure policy in the shape that Kubernetes' podFailurePolicy has, from a JSON file."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

from raydp_wrap.errors import UsageError
from raydp_wrap.model import Reason
from raydp_wrap.request import FailureRule, Operator, RuleAction

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["read_policy", "rules_of"]

_LARGEST = 1 << 20
_ACTIONS = {"FailJob": RuleAction.FAIL, **{action.value: action for action in RuleAction}}
_CRITERIA = ("onExitCodes", "onSignals", "onReasons")


def read_policy(path: str) -> tuple[FailureRule, ...]:
    """The rules in the file PATH.

    Raises:
        UsageError: it can't be read, or makes no sense; the sentence says where.

    """
    try:
        with open(path, "rb") as file:
            raw = json.loads(file.read(_LARGEST))
    except OSError as error:
        raise UsageError(f"the failure policy {path!r} can't be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the failure policy {path!r} is not JSON: {error}.") from error
    try:
        return rules_of(raw)
    except UsageError as error:
        raise UsageError(f"the failure policy {path!r}: {error}") from error


def rules_of(raw: Any) -> tuple[FailureRule, ...]:
    """The rules in RAW, as JSON has them: ``{"rules": [...]}``, also below ``podFailurePolicy``.

    A rule is ``{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [...]}}``; other actions are Ignore
    and Count, the other operator is NotIn. In the place of ``onExitCodes`` may stand ``onSignals``
    (``{"values": ["SIGKILL", 9]}``) or ``onReasons`` (``{"values": ["OutOfMemory"]}``).

    Raises:
        UsageError: it is none of that.

    """
    if isinstance(raw, dict) and "podFailurePolicy" in raw:
        raw = raw["podFailurePolicy"]
    if not isinstance(raw, dict) or set(raw) != {"rules"} or not isinstance(raw["rules"], list):
        raise UsageError('it has to be {"rules": [...]}.')
    return tuple(_rule(rule, f"rule {number}") for number, rule in enumerate(raw["rules"], 1))


def _rule(raw: Any, where: str) -> FailureRule:
    if not isinstance(raw, dict):
        raise UsageError(f"{where} is no object.")
    action = _ACTIONS.get(str(raw.get("action")))
    if action is None:
        raise UsageError(f"{where} has the action {raw.get('action')!r}: write FailJob, Ignore or Count.")
    criteria = [name for name in raw if name != "action"]
    if len(criteria) != 1 or criteria[0] not in _CRITERIA:
        raise UsageError(f"{where} has to have exactly one of {', '.join(_CRITERIA)} beside its action.")
    rule = _with_criterion(action, criteria[0], raw[criteria[0]], where)
    try:
        rule.check()
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error
    return rule


def _with_criterion(action: RuleAction, name: str, raw: Any, where: str) -> FailureRule:
    known = {"values", "operator", "containerName"} if name == "onExitCodes" else {"values"}
    if not isinstance(raw, dict) or not isinstance(raw.get("values"), list) or not known.issuperset(raw):
        raise UsageError(f'{where}: {name} has to be {{"values": [...]}}.')
    values = raw["values"]
    if name == "onReasons":
        return FailureRule(action, reasons=tuple(_reason(value, where) for value in values))
    if name == "onSignals":
        return FailureRule(action, signals=tuple(_signal(value, where) for value in values))
    operator = raw.get("operator", Operator.IN.value)
    if operator not in (one.value for one in Operator):
        raise UsageError(f"{where} has the operator {operator!r}: write In or NotIn.")
    return FailureRule(action, exit_codes=tuple(_numbers(values, where)), operator=Operator(operator))


def _numbers(values: Iterable[Any], where: str) -> Iterable[int]:
    for value in values:
        if type(value) is not int:
            raise UsageError(f"{where}: {value!r} is no exit code.")
        yield value


def _signal(value: Any, where: str) -> int:
    if type(value) is int:
        return value
    name = str(value).upper()
    found = signal.Signals.__members__.get(name if name.startswith("SIG") else f"SIG{name}")
    if found is None:
        raise UsageError(f"{where}: {value!r} is no signal.")
    return int(found)


def _reason(value: Any, where: str) -> Reason:
    try:
        return Reason(value)
    except ValueError as error:
        known = ", ".join(reason.value for reason in Reason)
        raise UsageError(f"{where}: {value!r} is no reason (they are {known}).") from error
