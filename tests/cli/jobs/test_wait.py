"""raydp-wrap jobs wait."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cli.jobs.conftest import Jobs

pytestmark = pytest.mark.requirement("jobs-4.1-wait")


@pytest.mark.parametrize(
    ("words", "code", "end"),
    [
        (["true"], 0, "FINISHED  0"),
        (["sh", "-c", "exit 42"], 42, "FAILED  42"),
        (["sh", "-c", "kill -9 $$"], 137, "FAILED  SIGKILL"),
        (["/nonexistent"], 127, "FAILED  127"),
    ],
)
def test_its_own_code(jobs: Jobs, words: list[str], code: int, end: str) -> None:
    found = jobs.submit("--", *words)
    said = jobs("wait", found)
    assert (said.code, said.lines) == (code, [f"{found}  {end}"])
    assert jobs("wait", "--quiet", found).raw == b""


def test_of_several_the_first_that_is_not_0(jobs: Jobs) -> None:
    found = [jobs.submit("--", "sh", "-c", f"exit {code}") for code in (0, 3, 4)]
    said = jobs("wait", *found)
    assert (said.code, [line.split()[0] for line in said.lines]) == (3, found)


def test_any_is_the_first_that_ends(jobs: Jobs, held: str) -> None:
    found = jobs.submit("--", "sh", "-c", "exit 5")
    said = jobs("wait", "--any", held, found)
    assert (said.code, said.lines) == (5, [f"{found}  FAILED  5"])
    said = jobs("wait", "--any", "--timeout", "10ms", held)
    assert (said.code, said.err) == (124, "raydp-wrap: none of 1 jobs has ended within 0.01 s: it goes on.\n")


def test_a_timeout_says_that_the_job_goes_on(jobs: Jobs, held: str) -> None:
    said = jobs("wait", "--timeout", "50ms", held)
    assert (said.code, said.raw) == (124, b"")
    assert said.err == f"raydp-wrap: job {held} has not ended within 0.05 s: it goes on.\n"
    assert jobs.phase(held) == "RUNNING"


def test_ctrl_c_ends_the_waiting_only(jobs: Jobs, held: str) -> None:
    done = jobs.submit("--", "true")
    process = jobs.start("wait", done, held)
    assert process.stdout is not None
    assert process.stdout.readline().split() == [done.encode(), b"FINISHED", b"0"]
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(30) == -signal.SIGINT
    assert jobs.phase(held) == "RUNNING"


def test_a_job_that_there_is_not(jobs: Jobs) -> None:
    assert "no job 'nobody'" in jobs.refused("wait", "nobody")
    assert "Missing argument" in jobs.refused("wait")
