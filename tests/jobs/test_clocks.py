"""Simulated homes whose wall clock jumps and whose machine reboots, again and again: nothing waits for ever."""

from __future__ import annotations

import pytest
from simulated_home import Plan, simulate

from raydp_wrap.moment import Moment
from raydp_wrap.testing.fake_jobs import FakeJobs

YEAR = 3.2e7


@pytest.mark.requirement("fault-22", "fault-24", "jobs-simulation")
@pytest.mark.parametrize("seed", range(8))
def test_clocks_that_jump_around_reboots(seed: int) -> None:
    home = simulate(FakeJobs(), seed, Plan(jobs=100, death=0.05, reboots=0.9, clock_jumps=60))
    assert home.problems == [], f"seed {seed}: {home.problems[:5]}"
    assert home.boot > 5, "it was not rebooted: this shows nothing"


@pytest.mark.requirement("fault-22")
@pytest.mark.parametrize("jump", [-YEAR, -60.0, 3600.0, YEAR])
def test_what_a_jump_does_to_a_moment(jump: float) -> None:
    """Within a boot nothing; over a reboot it comes earlier at most, never later than it was set to."""
    due = Moment("one", 100.0, 1e9).after(30.0)
    assert Moment("one", 110.0, 1e9 + jump).until(due) == 20.0
    left = Moment("two", 5.0, 1e9 + jump).until(due)
    assert left <= 30.0
    assert Moment("two", 5.0, 1e9 + 10.0).until(due) == 20.0
    here = Moment("two", 5.0, 1e9 + jump).here(due)
    assert (here.boot_id, here.monotonic) == ("two", 5.0 + left)
