"""The benchmark of jobs prints every goal with a figure or why there is none, and finds a job that is lost."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from conftest import children
from programs.facts import eventually
from supervised import left
from test_benchmarks import ROOT, rows

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="no C compiler")


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    before = set(children(os.getpid()))
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.jobs", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    eventually(lambda: not left(before), "the supervisors that it started, which came to us, are gone")
    return done


@pytest.mark.requirement("jobs-proof-2")
def test_every_goal_has_a_figure_or_a_reason(tmp_path: Path) -> None:
    sizes = {"warm": 2, "cold": 1, "running": 3, "seconds": 0.1, "crowd": 4, "queue": 5}
    parts = [word for part in ("rounds", "idle", "crowd", "queue") for word in ("--only", part)]
    options = [word for name, size in sizes.items() for word in (f"--{name}", str(size))]
    done = bench(*parts, *options, "--with-ray", str(tmp_path), "--dir", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    found = rows(done.stdout)
    without = {title for title, cells in found.items() if cells[-1] == "not measured"}
    assert {title for title in found if "Ray" in title or "supervisor yet" in title} <= without
    for title, (now, _, _, goal, verdict) in found.items():
        if title not in without:
            assert re.match(r"[\d.,]+( |$)", now), title
            assert verdict == ("-" if not goal else verdict), title
            assert verdict in ("-", "met", "MISSED"), title
    assert {"3 running jobs: idle processor", "5 jobs through a queue of 50: done"} <= found.keys() - without
    assert f"not measured: {tmp_path} has no Ray" in done.stdout
    assert list(tmp_path.iterdir()) == [], "it leaves nothing"


def test_a_job_that_never_ran_is_lost(tmp_path: Path) -> None:
    from benchmarks import jobs_scale  # noqa: PLC0415 - only where there is a compiler

    before = set(children(os.getpid()))
    never_notes = SimpleNamespace(program=shutil.which("true"))
    with pytest.raises(jobs_scale.Lost, match="of 3 jobs 3 never ran, 0 ran twice, and 3 are FINISHED"):
        jobs_scale.queue(tmp_path, never_notes, tmp_path / "notes", 3, 2)
    eventually(lambda: not left(before), "its supervisor is gone")
