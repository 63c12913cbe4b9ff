"""How much there is to give: refused where it makes no sense."""

from __future__ import annotations

from typing import Any

import pytest

from raydp_wrap.errors import UsageError
from raydp_wrap.job import Capacity

LIMITS = pytest.mark.requirement("jobs-1.5-limits-checked")


@LIMITS
@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"max_running": -1}, "max-running can't be -1: give a whole number from 0"),
        ({"max_running": True}, "max-running can't be of type bool"),
        ({"max_running": 2.0}, "max-running"),
        ({"max_running": "2"}, "max-running"),
        ({"max_running": 10**5000}, "so large"),
        ({"slots": {"x": 1e303}}, "the slot 'x' can't be 1e+303: give 0 to 1e15"),
        ({"slots": {"x": float("inf")}}, "'x' can't be inf"),
        ({"slots": {"x": float("nan")}}, "'x' can't be nan"),
        ({"slots": {"x": -1.0}}, "'x' can't be -1.0"),
        ({"slots": {"x": "1"}}, "'x' can't be of type str"),
        ({"slots": {"cpus": 10**400}}, "cpus can't be so large"),
        ({"slots": {"": 1.0}}, "no name"),
        ({"slots": {7: 1.0}}, "a slot's name"),
        ({"slots": None}, "the slots"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_sentence(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError) as raised:
        Capacity(**wrong).check()
    assert says in str(raised.value)
    assert str(raised.value).endswith(".")


@LIMITS
def test_what_makes_sense_is_not() -> None:
    for capacity in (Capacity(), Capacity(1, {"cpus": 0, "memory": 10**15, "gpu": 0.5})):
        capacity.check()
