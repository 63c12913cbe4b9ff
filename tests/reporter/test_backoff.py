"""When to try again."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raydp_wrap.reporter.backoff import MAX_TRIES, pause

pytestmark = pytest.mark.requirement("fault-32", "store-2.3")
chances = st.integers(0, 1 << 32).map(random.Random)


@given(st.integers(1, 10_000), chances)
def test_it_grows_with_the_tries_and_has_an_end(tries: int, chance: random.Random) -> None:
    longest = min(300.0, 0.25 * 2 ** min(tries - 1, 40))
    assert longest / 2 <= pause(tries, None, chance) <= longest


@given(st.integers(1, 50), st.floats(0, 7200), chances)
def test_it_is_never_earlier_than_the_sink_wished(tries: int, wished: float, chance: random.Random) -> None:
    found = pause(tries, wished, chance)
    assert wished <= found <= wished * 2 + 1e-9
    assert found <= wished + 150


@given(st.integers(1, 50), st.floats(43200, allow_infinity=False), chances)
def test_a_wish_for_days_is_half_a_day(tries: int, wished: float, chance: random.Random) -> None:
    assert 42000 <= pause(tries, wished, chance) <= 43200


@pytest.mark.parametrize("wished", [math.nan, math.inf, -math.inf, -1.0])
def test_what_is_no_number_of_seconds_is_no_wish(wished: float) -> None:
    assert pause(5, wished, random.Random(1)) == pause(5, None, random.Random(1))


def test_two_senders_told_the_same_don_t_come_back_in_step() -> None:
    assert len({pause(3, 10.0, random.Random(seed)) for seed in range(20)}) == 20
    assert len({pause(3, None, random.Random(seed)) for seed in range(20)}) == 20


def test_it_is_bounded() -> None:
    assert 8 <= MAX_TRIES <= 20
