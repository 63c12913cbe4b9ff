"""raydp-wrap jobs events and limits."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cli.jobs.conftest import Jobs

pytestmark = pytest.mark.requirement("jobs-4.1-json")


def test_what_has_happened_in_order(jobs: Jobs) -> None:
    found = jobs.ended("--id", "told-1", "--", "sh", "-c", "exit 3")
    changes = [json.loads(line) for line in jobs("events", "--json").lines]
    mine = [change for change in changes if change["submission_id"] == found]
    assert [change["kind"] for change in mine] == ["submitted", "begun", "started", "ended"]
    assert [change["seq"] for change in changes] == sorted(change["seq"] for change in changes)
    last = jobs("events", "--since", str(mine[-1]["seq"] - 1))
    assert last.lines[0].split("  ")[2:] == [
        "told-1",
        "ended",
        "FAILED",
        "attempt 1",
        "tally=failed exit_code=3 reason=AppFailed",
    ]
    assert jobs("events", "--since", str(changes[-1]["seq"])).raw == b""


def test_followed(jobs: Jobs) -> None:
    seq = json.loads(jobs("events", "--json").lines[-1])["seq"] if jobs("events", "--json").lines else 0
    process = jobs.start("events", "-f", "--json", "--since", str(seq))
    found = jobs.ended("--", "true")
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["submission_id"] == found
    for line in process.stdout:
        if json.loads(line)["kind"] == "ended":
            break
    os.kill(process.pid, signal.SIGINT)
    assert (process.wait(30), process.communicate()) == (-signal.SIGINT, (b"", b""))


def test_limits_are_shown_and_set(jobs: Jobs, held: str) -> None:
    shown = jobs("limits", "--json").json
    assert (shown["max_running"], shown["running"], set(shown["slots"])) == (100, 1, {"cpus", "memory"})
    said = jobs("limits", "--max-running", "7", "--cpus", "3", "--memory", "2g", "--slot", "gpu=2")
    assert (said.code, said.raw) == (0, b"")
    said = jobs("limits", "--slot", "license=1")
    assert [line.split() for line in jobs("limits").lines] == [
        ["WHAT", "USED", "LIMIT"],
        ["max-running", "1", "7"],
        ["cpus", "0", "3"],
        ["gpu", "0", "2"],
        ["license", "0", "1"],
        ["memory", "0", "B", "2", "GiB"],
    ]
    assert "cpus can't be -1.0: give 0 to 1e15" in jobs.refused("limits", "--cpus", "-1")
    assert "not NAME=NUMBER" in jobs.refused("limits", "--slot", "gpu=nan")
    assert jobs.phase(held) == "RUNNING"
