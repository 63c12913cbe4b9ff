"""raydp-wrap jobs retry."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cli.jobs.conftest import Jobs

pytestmark = pytest.mark.requirement("jobs-4.1-retry")


def test_the_same_once_more_and_the_old_logs_stay(jobs: Jobs) -> None:
    old = jobs.ended("--name", "again", "--tag", "a=b", "--", "sh", "-c", "echo $RAYDP_WRAP_SUBMISSION_ID; exit 3")
    said = jobs("retry", old)
    (new,) = said.lines
    assert (said.code, new != old, jobs("wait", "-q", new).code) == (0, True, 3)
    assert [jobs("logs", one).out for one in (old, new)] == [f"{old}\n", f"{new}\n"]
    status = jobs("status", "--json", new).json
    assert (status["name"], status["tags"], status["metadata"]) == ("again", {"a": "b"}, {"retry-of": old})


def test_all_that_failed_each_once(jobs: Jobs) -> None:
    jobs("retry", "--all-failed")
    jobs("wait", "-q", *jobs("list", "-o", "name").lines)
    tag = ("--tag", "of=this")
    failed = [jobs.ended(*tag, "--", "false") for _ in range(2)]
    fine = jobs.ended(*tag, "--", "true")
    before = set(jobs("list", "--state", "FAILED", "-o", "name").lines)
    new = jobs("retry", "--all-failed").lines
    retried = [jobs("status", "--json", one).json["metadata"]["retry-of"] for one in new]
    assert [one for one in retried if one in failed] == failed
    assert fine not in retried
    assert set(retried) <= before
    # What was retried by now is not retried again; its retry may have failed.
    assert not set(failed) & {
        jobs("status", "--json", one).json["metadata"]["retry-of"] for one in jobs("retry", "--all-failed").lines
    }


def test_edited_before(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    old = jobs.ended("--", "sh", "-c", "exit 3")
    monkeypatch.setenv("EDITOR", "sed -i s/exit.3/false/")
    monkeypatch.delenv("VISUAL", raising=False)
    (new,) = jobs("retry", "--edit", old).lines
    assert jobs("wait", "-q", new).code == 1


@pytest.mark.parametrize(
    ("editor", "says"),
    [
        ("true", "nothing was changed"),
        ("sed -i s/argv/argw/", "no 'argw'"),
        ("sed -i s/{/[/", "no request"),
        ("sed -i 's/\"sh\",/1,/'", "no request"),
        ('sed -i \'s/"argv": ./"argv": "ls", "tags": [/\'', "no request"),
        ("false", "nothing was submitted"),
        ("/nonexistent/editor", "Editing failed"),
    ],
)
def test_an_edit_that_makes_no_sense_submits_nothing(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch, editor: str, says: str
) -> None:
    old = jobs.ended("--", "sh", "-c", "exit 3")
    monkeypatch.setenv("EDITOR", editor)
    monkeypatch.delenv("VISUAL", raising=False)
    said = jobs("retry", "--edit", old)
    assert (said.code, said.raw, said.err.count("\n")) == (125, b"", 1)
    if editor != "false":
        assert says in said.err
    assert jobs("list", "-o", "name", "--limit", "1").lines == [old]


def test_what_to_retry_has_to_be_said(jobs: Jobs) -> None:
    assert "--all-failed" in jobs.refused("retry")
    assert "--all-failed" in jobs.refused("retry", "--all-failed", "@last")


def test_a_stdout_that_is_full_hides_no_job(jobs: Jobs) -> None:
    old = jobs.ended("--", "sh", "-c", "exit 3")
    with open("/dev/full", "wb") as full:
        process = jobs.start("retry", old, stdout=full)
        _, err = process.communicate(timeout=60)
    new = jobs("list", "-o", "name", "--limit", "1").lines[0]
    assert new != old
    assert f"submitted again as {new}".encode() in err


def test_without_a_stdout_nothing_is_submitted(jobs: Jobs) -> None:
    old = jobs.ended("--", "sh", "-c", "exit 3")
    command = f"exec {sys.executable} -m raydp_wrap jobs retry {old} >&-"
    assert subprocess.run(["sh", "-c", command], stderr=subprocess.DEVNULL, check=False).returncode == 125
    assert jobs("list", "-o", "name", "--limit", "1").lines == [old]
