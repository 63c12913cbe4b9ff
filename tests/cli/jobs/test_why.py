"""raydp-wrap jobs why."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cli.jobs.conftest import Jobs

pytestmark = pytest.mark.requirement("jobs-4.1-why")


def plain(text: str) -> str:
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:]+Z", "TIME", text)
    return re.sub(r"\b\d+(?:\.\d)?s\b", "Ts", text)


def test_golden_of_attempts(jobs: Jobs) -> None:
    script = "case $RAYDP_WRAP_ATTEMPT in 1) exit 52;; 2) kill -9 $$;; *) exit 127;; esac"
    words = ("--retry-on", "52", "--backoff-limit", "1", "--backoff", "10ms", "--name", "golden")
    found = jobs.ended(*words, "--id", "golden-1", "--shell", script)
    assert (
        plain(jobs("why", found).out)
        == """\
golden-1 (golden) is FAILED, AppFailed
  the driver exited with 127
  it waited Ts for its first attempt
attempt 1, TIME, Ts: exit 52 (Spark: an OutOfMemoryError in the JVM); exit code 52 is ignored by rule 1
attempt 2, TIME, Ts: SIGKILL (not sent by us, and no out-of-memory kill was seen: a kill -9, or a memory limit that \
can't be seen from here); failure 1, retried up to 1
attempt 3, TIME, Ts: exit 127 (the command was not found); the backoff limit of 1 is reached
"""
    )


def test_who_stopped_it_and_what_that_took(jobs: Jobs) -> None:
    script = "trap '' TERM; echo ready; while :; do sleep 0.01; done"
    found = jobs.submit("--shell", script)
    assert jobs.start("logs", "-f", found).stdout.readline() == b"ready\n"  # type: ignore[union-attr]
    jobs("stop", "--grace", "50ms", "--wait", found)
    text = jobs("why", found).out
    assert "is KILLED, StopRequested" in text
    assert "SIGKILL (forced, after the grace of a stop was over)" in text
    assert "(raydp-wrap jobs stop), first with SIGTERM" in text
    assert re.search(r"stop asked by .* \(raydp-wrap jobs stop\), with a grace of 0\.1s\n", text)


@pytest.mark.requirement("jobs-4.1-json")
def test_what_it_waits_for(jobs: Jobs, held: str) -> None:
    found = jobs.submit("--after", held, "--", "true")
    assert f"waits for job {held} (held) to finish" in jobs("why", found).out
    document = jobs("why", "--json", found).json
    assert document["waits"] == f"waits for job {held} (held) to finish"
    assert (document["attempts"], document["verdict"]) == ([], None)
    assert "has not ended" in jobs("why", held).out
    jobs("stop", found)
    assert "it has not been started, and never will be" in jobs("why", found).out


def test_a_deadline(jobs: Jobs) -> None:
    found = jobs.ended("--active-deadline", "50ms", "--backoff-limit", "3", "--", "sleep", "1000")
    text = jobs("why", found).out
    assert "is FAILED, DeadlineExceeded" in text
    assert "the active deadline was exceeded, which is never retried" in text
    waiting = jobs.submit("--active-deadline", "1h", "--", "sleep", "1000")
    assert jobs.start("status", "--watch", waiting).stdout is not None
    jobs("stop", "--grace", "0", "--wait", waiting)


def test_a_success_and_nobody(jobs: Jobs) -> None:
    found = jobs.ended("--", "true")
    assert re.search(r"attempt 1, .*: exit 0\n", jobs("why", found).out)
    assert "no job 'nobody'" in jobs.refused("why", "nobody")
