"""raydp-wrap jobs stop, suspend, resume and delete."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from cli.jobs.conftest import Jobs

STOP = pytest.mark.requirement("jobs-4.1-stop")
SUSPEND = pytest.mark.requirement("jobs-4.1-suspend")
DELETE = pytest.mark.requirement("jobs-4.1-delete")


@STOP
def test_stopped_by_its_signal_and_by_whom(jobs: Jobs) -> None:
    script = "trap 'echo asked; exit 0' INT; echo ready; while :; do sleep 0.01; done"
    found = jobs.submit("--stop-signal", "INT", "--shell", script)
    assert jobs.start("logs", "-f", found).stdout.readline() == b"ready\n"  # type: ignore[union-attr]
    said = jobs("stop", "--wait", found)
    assert (said.code, said.raw, said.err) == (0, b"", "")
    assert jobs("logs", found).out == "ready\nasked\n"
    assert "(raydp-wrap jobs stop)" in jobs("status", "--json", found).json["diagnostics"]


@STOP
def test_one_that_has_ended_is_no_failure(jobs: Jobs) -> None:
    found = jobs.ended("--", "true")
    said = jobs("stop", found)
    assert (said.code, said.err) == (0, f"raydp-wrap: {found} has ended already: it is FINISHED.\n")


@STOP
def test_before_its_start_it_never_runs(jobs: Jobs) -> None:
    found = jobs.submit("--suspend", "--", "true")
    jobs("stop", found)
    status = jobs("status", "--json", found).json
    assert (status["phase"], status["attempts"]["succeeded"]) == ("KILLED", 0)


@STOP
def test_all_or_none_where_a_name_is_wrong(jobs: Jobs, held: str) -> None:
    assert "nobody" in jobs.refused("stop", held, "nobody")
    assert jobs.phase(held) == "RUNNING"


@SUSPEND
def test_suspended_and_resumed(jobs: Jobs, tmp_path: Path) -> None:
    script = f"test -e {tmp_path}/go || exec sleep 1000"
    found = jobs.submit("--shell", script)
    watching = jobs.start("status", "--watch", "--json", found)
    assert watching.stdout is not None
    for line in watching.stdout:
        if b'"phase": "RUNNING"' in line:
            break
    assert jobs("suspend", found).code == 0
    for line in watching.stdout:
        if b'"phase": "SUSPENDED"' in line:
            break
    (tmp_path / "go").write_text("")
    assert jobs("resume", found).code == 0
    assert jobs("wait", "-q", found).code == 0
    assert jobs("list", "--limit", "1").lines[1].split()[3] == "2/2"
    assert watching.wait(30) == 0


@SUSPEND
def test_what_can_t_be_is_said_and_the_others_are_done(jobs: Jobs, held: str) -> None:
    ended = jobs.ended("--", "true")
    said = jobs("resume", held, ended)
    assert (said.code, said.err.count("\n")) == (125, 2)
    assert "nothing to resume" in said.err
    waiting = jobs.submit("--suspend", "--", "true")
    said = jobs("resume", ended, waiting)
    assert (said.code, said.err.count("\n")) == (125, 1)
    assert jobs("wait", "-q", waiting).code == 0


@DELETE
def test_deleted_with_its_logs(jobs: Jobs, home: Path) -> None:
    found = jobs.ended("--", "echo", "x")
    assert (home / "jobs" / f"{found}.1").exists()
    assert jobs("delete", found).code == 0
    assert not (home / "jobs" / f"{found}.1").exists()
    assert "no job" in jobs.refused("status", found)


@DELETE
def test_one_that_has_not_ended_is_kept(jobs: Jobs, held: str) -> None:
    assert "stop it first" in jobs.refused("delete", held)
    assert jobs.phase(held) == "RUNNING"


@DELETE
def test_a_report_that_waits_has_to_be_given_up(jobs: Jobs, tmp_path: Path) -> None:
    place = tmp_path / "gone"
    place.mkdir()
    found = jobs.submit("--sink", f"file:{place}/sink", "--", "rmdir", str(place))
    jobs("wait", "-q", found)
    assert "has not been delivered" in jobs.refused("delete", found)
    assert jobs("delete", "--force", found).code == 0
