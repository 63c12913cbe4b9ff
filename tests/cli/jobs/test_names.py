"""How a job is named, by hand and by the shell's completion."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from cli.jobs.conftest import Jobs

NAMES = pytest.mark.requirement("jobs-4.1-names")
COMPLETION = pytest.mark.requirement("jobs-4.1-completion")


def meant(jobs: Jobs, word: str) -> str:
    return jobs("status", "--json", word).json["submission_id"]


@NAMES
def test_id_prefix_name_and_last(jobs: Jobs) -> None:
    for name, job in (("night", "alpha-1"), ("night", "alpha-2"), ("day", "beta-1")):
        jobs.submit("--suspend", "--name", name, "--id", job, "--", "true")
    assert meant(jobs, "alpha-1") == "alpha-1"
    assert meant(jobs, "beta") == "beta-1"
    assert meant(jobs, "day") == "beta-1"
    assert [meant(jobs, word) for word in ("@last", "@last-1", "@last-2")] == ["beta-1", "alpha-2", "alpha-1"]
    # The newest of that name that has not ended; else the newest.
    assert meant(jobs, "night") == "alpha-2"
    jobs("stop", "alpha-2")
    assert meant(jobs, "night") == "alpha-1"
    jobs("stop", "alpha-1")
    assert meant(jobs, "night") == "alpha-2"


@NAMES
def test_what_means_several_or_none_is_one_sentence(jobs: Jobs) -> None:
    for number in range(7):
        jobs.submit("--suspend", "--id", f"many-{number}", "--", "true")
    said = jobs.refused("stop", "many")
    assert said == "'many' may be many-6, many-5, many-4, many-3, many-2, …: write more of it."
    assert jobs.phase("many-0") == "SUSPENDED"
    for word in ("nobody", "@last-99", "", "\x1b[2J"):
        assert jobs.refused("status", word).startswith("there is no job ")


@NAMES
def test_a_name_that_is_the_beginning_of_ids_is_a_name(jobs: Jobs) -> None:
    for number in range(2):
        jobs.submit("--suspend", "--id", f"train-{number}", "--name", "train", "--", "true")
    assert meant(jobs, "train") == "train-1"


def completed(*words: str, **env: str) -> list[str]:
    words = ("raydp-wrap", *words)
    more = {"_RAYDP_WRAP_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run(
        [sys.executable, "-m", "raydp_wrap"],
        env={**os.environ, **more, **env},
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert done.stderr == b""
    return [line.partition(",")[2] for line in done.stdout.decode().splitlines() if line]


@COMPLETION
def test_ids_and_names_are_completed(jobs: Jobs) -> None:
    jobs.submit("--suspend", "--id", "zeta-1", "--name", "zebra", "--", "true")
    jobs.submit("--suspend", "--id", "zeta-2", "--name", "z \x1b[2J", "--", "true")
    jobs.submit("--suspend", "--id", "zeta-3", "--name", "z;id", "--", "true")  # bash would execute it
    assert completed("jobs", "stop", "z") == ["zeta-3", "zeta-2", "zeta-1", "zebra"]
    assert completed("jobs", "logs", "@") == ["@last"]
    assert completed("jobs", "sus") == ["suspend"]


@COMPLETION
def test_no_home_completes_nothing_and_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert completed("jobs", "stop", "z", RAYDP_WRAP_HOME=str(tmp_path / "file")) == []


@COMPLETION
def test_the_shell_s_part_can_be_had() -> None:
    env = {**os.environ, "_RAYDP_WRAP_COMPLETE": "bash_source"}
    done = subprocess.run([sys.executable, "-m", "raydp_wrap"], env=env, capture_output=True, check=True, timeout=60)
    assert b"complete -o nosort -F" in done.stdout
