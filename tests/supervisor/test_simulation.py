"""The supervisor in a simulated home: what fails is found again by its seed, which is printed."""

from __future__ import annotations

import os

import pytest
from simulated_home import Plan, simulate

from raydp_wrap.testing.fake_jobs import FakeJobs

JOBS = 100_000


def of_seed(seed: int, jobs: int) -> None:
    home = simulate(FakeJobs(), seed, Plan(jobs=jobs))
    assert home.problems == [], f"seed {seed}, {jobs} jobs: {home.problems[:5]}"
    assert home.deaths, "nobody died: this simulation shows nothing"


@pytest.mark.requirement("jobs-simulation", "jobs-2.2-adopted", "jobs-1.1-terminal-once", "retry-rule-5")
@pytest.mark.parametrize("seed", range(10))
def test_a_simulated_home(seed: int) -> None:
    of_seed(seed, 300)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.requirement("jobs-simulation")
def test_a_hundred_thousand_simulated_jobs(capsys: pytest.CaptureFixture[str]) -> None:
    """RAYDP_WRAP_TEST_SEED replays."""
    seed = int(os.environ.get("RAYDP_WRAP_TEST_SEED") or int.from_bytes(os.urandom(4), "big"))
    with capsys.disabled():
        print(f"\nthe simulation's seed is {seed}: RAYDP_WRAP_TEST_SEED={seed} replays it")
    for number in range(100):
        of_seed(seed + number, JOBS // 100)
