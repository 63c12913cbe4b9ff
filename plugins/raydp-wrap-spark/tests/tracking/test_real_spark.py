"""The same on real Spark: scripts, and one that is submitted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
PROGRAMS = Path(__file__).parent / "programs"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.skipif(not (BIN / "spark-submit").exists(), reason="needs pyspark in this environment"),
]


def run(environment, *command):
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, start_new_session=True, timeout=200
    )


@pytest.mark.requirement("raydp-6", "track-2", "track-6", "track-8")
def test_each_context_of_a_script_is_an_application_of_its_own(environment, told):
    done = run(environment, sys.executable, PROGRAMS / "tracked.py", told.sink)
    assert (done.returncode, done.stdout) == (1, "5\n7\n"), done.stderr[-3000:]
    first, second = told.all()
    assert (first["name"], first["state"], first["exit_code"]) == ("first", "FINISHED", 0)
    assert (second["name"], second["state"], second["exit_code"]) == ("second", "FAILED", 1)
    assert "ValueError: after the stop" in second["diagnostics"]
    assert first["app_id"].startswith("local-")
    assert second["app_id"].startswith("local-")
    assert first["app_id"] != second["app_id"]


@pytest.mark.requirement("track-5")
def test_sigkill_to_the_jvm_is_a_failure_that_names_it(environment, told):
    done = run(environment, sys.executable, PROGRAMS / "jvm_killed.py", told.sink)
    assert done.returncode == 1
    outcome = told.one()
    assert (outcome["state"], outcome["exit_code"]) == ("FAILED", 137)
    assert outcome["diagnostics"] == "the JVM of the SparkContext was killed by SIGKILL while the application ran"


@pytest.mark.requirement("track-9")
def test_one_that_is_submitted_is_told_of_once_from_outside(environment, told, tmp_path):
    inside = tmp_path / "inside"
    command = [BIN / "raydp-submit", "--master", "local[1]", PROGRAMS / "submitted.py", f"file:{inside}"]
    done = run({**environment, "RAYDP_WRAP_SINKS": told.sink}, *command)
    outcome = told.one()
    assert (done.returncode, done.stdout) == (3, f"{outcome['submission_id']} None\n"), done.stderr[-3000:]
    assert (outcome["state"], outcome["exit_code"], outcome["name"]) == ("FAILED", 3, "submitted.py")
    assert not inside.exists()
