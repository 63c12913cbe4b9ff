"""Minutes of everything at once; then nothing is left, and every job has one true outcome."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest
from crash.harness import carriers
from jobs.real_home import until
from jobs.soaking import Soak, gone
from programs.facts import open_fds
from supervised import retired

import raydp_wrap

if TYPE_CHECKING:
    from pathlib import Path


def forgotten_late(client: raydp_wrap.Client, soak: Soak) -> set[str]:
    """The ids of the jobs that are there and should not be any more."""
    return {job.id for job in client.jobs()} & {plan.job.id for plan in soak.plans.values() if not plan.kept}


@pytest.mark.slow
@pytest.mark.timeout(2400)
@pytest.mark.requirement("jobs-soak")
def test_soak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """RAYDP_WRAP_TEST_SOAK says for how many seconds, RAYDP_WRAP_TEST_SEED which random numbers are used."""
    seconds = float(os.environ.get("RAYDP_WRAP_TEST_SOAK") or 120)
    seed = int(os.environ.get("RAYDP_WRAP_TEST_SEED") or int.from_bytes(os.urandom(4), "big"))
    with capsys.disabled():
        print(f"\n{seconds:g} s, seed {seed}: RAYDP_WRAP_TEST_SEED={seed} uses the same random numbers")
    home, notes = tmp_path / "home", tmp_path / "notes"
    home.mkdir(0o700)
    notes.mkdir()
    monkeypatch.setenv("RAYDP_WRAP_HOME", str(home))
    monkeypatch.setenv("RAYDP_WRAP_LINGER", "50ms")
    before = open_fds()
    with retired(home):
        with raydp_wrap.Client(home) as client:
            began = time.monotonic()
            soak = Soak(client, notes, seed)
            soak.run(seconds)
            with client.watching():  # somebody sees to what is still to be told and to be forgotten
                store = client._access.store
                until(lambda: store.next_due() is None and not store.undelivered(), store.undelivered)
                until(lambda: not forgotten_late(client, soak), lambda: forgotten_late(client, soak))
            seen = soak.check_all()
            with capsys.disabled():
                print(f"{len(soak.plans)} jobs in {time.monotonic() - began:.0f} s: {dict(seen)}; {dict(soak.done)}")
            ids = {job.id for job in client.jobs()}
        until(lambda: gone(home), lambda: "the supervisor does not leave")
        left = {place.name.rpartition(".")[0] for place in (home / "jobs").iterdir()} - ids
        assert {name for name in left if not name.startswith("prepare.")} == set(), "of jobs that are no more"
    assert carriers(str(tmp_path)) == [], "processes are left"
    until(lambda: open_fds() == before, lambda: f"{open_fds()} are open, {before} were")
