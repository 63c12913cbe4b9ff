"""raydp-wrap jobs status."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING

import pytest
from programs.facts import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from cli.jobs.conftest import Jobs, Screen

pytestmark = pytest.mark.requirement("jobs-4.1-status")


def labelled(lines: list[str]) -> dict[str, str]:
    return {line[:13].strip(): line[13:] for line in lines if line[:1] != " "}


def test_golden_of_one_that_has_ended(jobs: Jobs) -> None:
    found = jobs.ended(
        "--name", "golden", "--tag", "a=b", "--backoff-limit", "1", "--backoff", "10ms", "--shell", "echo said; exit 3"
    )
    said = jobs("status", found)
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:]+Z", "TIME", re.sub(r"\b\d+(?:\.\d)?s\b", "Ts", said.out))
    assert (said.code, said.err) == (0, "")
    assert (
        text.replace(found, "ID").replace(os.getcwd(), "CWD")
        == """\
id           ID
name         golden
phase        FAILED
attempts     2 of 2 (2 failed)
exit         3
reason       AppFailed
submitted    TIME (Ts ago)
started      TIME
ended        TIME
elapsed      Ts
command      echo said; exit 3
directory    CWD
tags         a=b
diagnostics  the driver exited with 3
             said
"""
    )


def test_what_waits_says_for_what(jobs: Jobs) -> None:
    found = jobs.submit("--suspend", "--priority", "2", "--memory", "3m", "--env", "SECRET=hunter2", "--", "true")
    facts = labelled(jobs("status", found).lines)
    assert (facts["phase"], facts["waits"], facts["attempts"]) == ("SUSPENDED", "it is suspended: resume it", "0 of 1")
    assert (facts["priority"], facts["needs"], facts["variables"]) == ("2", "memory 3 MiB", "SECRET")
    assert "hunter2" not in jobs("status", found).out + jobs("status", "--json", found).out


def test_what_runs_says_what_its_tree_uses(jobs: Jobs) -> None:
    script = "sleep 1000 & sleep 1000 & setsid sleep 1000 & wait"
    found = jobs.submit("--active-deadline", "1h", "--shell", script)
    eventually(lambda: (jobs("status", "--json", found).json["uses"] or {}).get("processes") == 4, "four processes")
    uses = jobs("status", "--json", found).json["uses"]
    assert uses["memory"] > 1 << 18
    assert 0 <= uses["cpu_seconds"] < 30
    facts = labelled(jobs("status", found).lines)
    assert re.fullmatch(r"4 processes, cpu \d+\.\ds, memory [\d.]+ [KM]iB", facts["uses"])
    assert facts["deadline"].startswith("in 59m")
    jobs("stop", "--grace", "0", "--wait", found)
    assert "uses" not in labelled(jobs("status", found).lines)


@pytest.mark.requirement("jobs-4.1-json")
def test_json_has_the_outcome_s_keys_once_it_is_terminal(jobs: Jobs) -> None:
    found = jobs.submit("--suspend", "--tag", "a=b", "--", "sh", "-c", "echo x; exit 3")
    before = jobs("status", "--json", found).json
    assert (before["phase"], before["state"], before["exit_code"]) == ("SUSPENDED", "UNKNOWN", None)
    jobs("resume", found)
    outcome = jobs("wait", "--json", found).json
    after = jobs("status", "--json", found).json
    assert outcome.items() <= after.items()
    assert (after["phase"], after["exit_code"], after["attempts"]["failed"]) == ("FAILED", 3, 1)
    assert set(before) <= set(after)
    assert [json.loads(line)["submission_id"] for line in jobs("status", "--json", found, found[:-1]).lines] == [found]


def test_several_at_once(jobs: Jobs) -> None:
    two = [jobs.ended("--", "true") for _ in range(2)]
    assert [line.split()[1] for line in jobs("status", *two).lines if line.startswith("id ")] == two
    assert "no job 'nobody'" in jobs.refused("status", two[0], "nobody")


def test_watched_through_a_pipe_until_its_end(jobs: Jobs) -> None:
    found = jobs.submit("--suspend", "--", "true")
    process = jobs.start("status", "--watch", "--json", found)
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["phase"] == "SUSPENDED"
    jobs("resume", found)
    phases = [json.loads(line)["phase"] for line in process.stdout]
    assert (phases[-1], process.wait(30)) == ("FINISHED", 0)


def test_watched_on_a_terminal_until_its_end(jobs: Jobs, held: str, screen: Callable[..., Screen]) -> None:
    one = screen("status", "--watch", held)
    one.until("1 process,")
    jobs("stop", "--grace", "0", held)
    assert one.end() == 0
    assert "KILLED" in one.seen
    assert one.seen.endswith("\x1b[?25h")
