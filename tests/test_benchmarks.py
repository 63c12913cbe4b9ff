"""The benchmark command prints every row of the goals with a figure and a verdict; a timing is never asserted."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parent.parent

# Title → whether it needs a parent of 1 GB or more, or a Python that has the method.
GOALS = {
    "cffi call / the same C function": True,
    "cffi with every feature / raw C vfork, parent 20M": True,
    "cffi with every feature / raw C vfork, parent 1G": False,
    "cffi with every feature / raw C vfork, parent 4G": False,
    "Popen() / cffi, parent 20M": True,
    "Popen() / cffi, parent 1G": False,
    "Popen() / cffi, parent 4G": False,
    "Popen(preexec_fn) / cffi, parent 20M": True,
    "Popen(preexec_fn) / cffi, parent 1G": False,
    "Popen(preexec_fn) / cffi, parent 4G": False,
    "Popen(shell=True) / cffi": True,
    "asyncio, pidfd watcher / cffi": True,
    "asyncio, threaded watcher / cffi": sys.version_info < (3, 14),
    "cffi at 4G / at 20M": False,
    "Ray's 100 ms poll / our exit detection": True,
    "Popen.wait(timeout) / our exit detection": True,
    "100 ms poll / our socket readiness": True,
    "guard: time added to a job, from C": True,
    "guard: time added to a job, from Python": True,
    "guard: whole tree dead after SIGKILL of the owner": True,
    "guard: memory (RSS)": True,
    "200 children: supervisor memory, each": True,
    "200 children: SIGKILL and reap all": True,
}


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


def rows(output: str) -> dict[str, Sequence[str]]:
    """Title → the cells after it, of the goals table."""
    table = output.partition("\nGoals (")[2]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line[:1] == "|"]
    return {title: cells for title, *cells in lines[2:]}


@pytest.mark.requirement("project-5.3")
@pytest.mark.skipif(not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="no C compiler")
def test_every_goal_has_a_figure_and_a_verdict(tmp_path: Path) -> None:
    pytest.importorskip("psutil")
    written = tmp_path / "figures.json"
    done = bench("--quick", "--seed", "1", "--json", str(written))
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert re.match(r"Linux \S+ \S+, \d+ CPUs \(load .*\), CPython 3\.", lines[0])
    assert "seed 1," in lines[1]
    assert re.match(r"Missed \d+ of \d+ goals: |No goal of \d+ is missed\.$", lines[-1])

    found = rows(done.stdout)
    assert GOALS.keys() <= found.keys()
    for title, measured in GOALS.items():
        now, _, _, goal, verdict = found[title]
        assert re.match(r"[≤≥] [\d.]+", goal), title
        if measured:
            assert re.match(r"-?[\d.,]+( |$)", now), title
            assert verdict in ("met", "MISSED"), title
            assert (verdict == "MISSED") == (title in lines[-1]), title
        else:
            assert (now, verdict) == ("-", "not measured"), title

    as_json = {row["title"]: row["verdict"] for row in json.loads(written.read_text(encoding="utf-8"))["goals"]}
    assert as_json == {title: cells[-1] for title, cells in found.items()}


def test_without_a_compiler_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    done = bench("--quick")
    assert done.returncode == 0, done.stderr
    assert {cells[-1] for cells in rows(done.stdout).values()} == {"not measured"}
    assert "no C compiler" in done.stdout


def test_a_failed_measurement_is_named_and_is_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "cc -Dbench_run=another_name")
    done = bench("--quick", "--samples", "2", "--only", "the same C function$")
    assert done.returncode == 1, done.stdout
    assert "FAILED: cffi@20M: parent 20M ended" in done.stdout


@pytest.mark.parametrize(
    "wrong", [["--samples", "0"], ["--only", "("], ["--only", "no such row"], ["--record-dir", "/dev/full"]]
)
def test_wrong_options_are_refused(wrong: list[str]) -> None:
    done = bench(*wrong)
    assert done.returncode == 2
    assert wrong[-1] in done.stderr or wrong[0] in done.stderr
