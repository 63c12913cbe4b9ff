"""The ways to end that need no with block: by an exception's own word, from many threads, from the very last moment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from programs.facts import environment, nothing_left
from programs.wrapping import reap_orphans, until

import raydp_wrap
from raydp_wrap.errors import UsageError
from raydp_wrap.runs import Run
from raydp_wrap.store import Store
from raydp_wrap.tracking import tracked as tracking
from raydp_wrap.tracking import witness
from raydp_wrap.tracking.witness import exit_code

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.requirement("track-1")


def told(report: Path) -> dict[str, Any]:
    return json.loads(report.read_text())


def keeps_exit_codes() -> bool:
    """Whether this kernel tells a gone process's exit code to who holds its pidfd."""
    child = subprocess.Popen(["false"])
    pidfd = os.pidfd_open(child.pid)
    child.wait()
    try:
        return exit_code(pidfd) == 1
    finally:
        os.close(pidfd)


@pytest.mark.parametrize(
    ("error", "state", "code"),
    [
        (None, "FINISHED", 0),
        (ValueError("no"), "FAILED", 1),
        (SystemExit(3), "FAILED", 3),
        (KeyboardInterrupt(), "KILLED", 130),
    ],
)
def test_it_ends_by_an_error_as_a_block_does(report: Path, error: BaseException | None, state: str, code: int) -> None:
    with nothing_left():
        raydp_wrap.track("n", sinks=[f"file:{report}"]).end_by(error)
    assert (told(report)["state"], told(report)["exit_code"]) == (state, code)
    assert ("ValueError: no" in told(report)["diagnostics"]) == isinstance(error, ValueError)


@pytest.mark.parametrize("killed", [False, True])
def test_why_is_in_the_diagnostics(report: Path, *, killed: bool) -> None:
    raydp_wrap.track("n", sinks=[f"file:{report}"]).end(9, killed=killed, why="the disk is gone")
    assert told(report)["diagnostics"].startswith("the disk is gone")
    assert told(report)["state"] == ("KILLED" if killed else "FAILED")


def test_threads_that_end_it_at_once_end_it_once(tmp_path: Path) -> None:
    lines = tmp_path / "lines"
    tracked = raydp_wrap.track("n", sinks=[f"exec:sh -c 'echo told >> {lines}'"])
    barrier = threading.Barrier(4)
    outcomes = []

    def end(code: int) -> None:
        barrier.wait()
        outcomes.append(tracked.end(code))

    threads = [threading.Thread(target=end, args=(code,)) for code in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [tracked.outcome] * 4
    assert lines.read_text() == "told\n"


def test_where_python_forks_no_more_another_process_tells(
    home: Path, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "_can_fork", lambda: False)
    with nothing_left():
        tracked = raydp_wrap.track("n", sinks=[f"file:{report}"])
        tracked.bind("local-1")
        outcome = tracked.end(4)
    assert (told(report)["state"], told(report)["exit_code"], told(report)["app_id"]) == ("FAILED", 4, "local-1")
    assert outcome.exit_code == 4
    assert list(Run.all(home)) == []


LEAVING = """
import os, signal, sys, raydp_wrap
tracked = raydp_wrap.track("script", sinks=[f"file:{sys.argv[1]}"])
tracked.bind("local-1")
tracked.leave()
tracked.leave()
code = int(sys.argv[2])
os._exit(code) if code >= 0 else os.kill(os.getpid(), -code)
"""


@pytest.mark.parametrize("reaped", [False, True])
@pytest.mark.parametrize(
    ("code", "state", "reason"), [(0, "FINISHED", None), (3, "FAILED", "AppFailed"), (-9, "KILLED", "OwnerDied")]
)
def test_one_that_leaves_is_told_of_by_the_exit_code_that_it_had(
    home: Path, report: Path, code: int, state: str, reason: str | None, *, reaped: bool
) -> None:
    command = [sys.executable, "-c", LEAVING, str(report), str(code)]
    process = subprocess.Popen(command, env=environment(), start_new_session=True)
    if reaped:
        assert process.wait(60) == code
    until(report.exists, "it is told")
    assert process.wait(60) == code
    reap_orphans()
    outcome = told(report)
    if reaped and not keeps_exit_codes():
        state, code, reason = "FAILED", 1, "JobLost"
    assert (outcome["state"], outcome["reason"], outcome["app_id"]) == (state, reason, "local-1")
    assert (outcome["exit_code"], outcome["signal"]) == ((code, None) if code >= 0 else (None, -code))
    assert list(Run.all(home)) == []
    with Store(home) as store:
        assert store.undelivered() == []


def test_an_exit_code_that_nobody_can_see_is_no_success(report: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(witness, "exit_code", lambda _pidfd: None)
    monkeypatch.setattr(witness, "start", lambda run, _pidfd: witness.main(str(run.directory), "0"))
    tracked = raydp_wrap.track("n", sinks=[f"file:{report}"])
    tracked.leave()
    assert (told(report)["state"], told(report)["reason"]) == ("FAILED", "JobLost")
    with pytest.raises(UsageError, match="has left"):
        tracked.end()


def test_without_a_witness_the_guard_tells_what_was_kept(report: Path) -> None:
    script = LEAVING.replace("tracked.leave()", "sys.executable = '/no/such'; tracked.leave()")
    command = [sys.executable, "-c", script, str(report), "0"]
    assert subprocess.run(command, env=environment(), check=False, start_new_session=True).returncode == 0
    until(report.exists, "it is told")
    reap_orphans()
    assert (told(report)["state"], told(report)["reason"]) == ("FAILED", "JobLost")


def test_a_forked_child_does_not_leave_in_its_parents_place(report: Path) -> None:
    with raydp_wrap.track("n", sinks=[f"file:{report}"]) as tracked:
        pid = os.fork()
        if not pid:
            tracked.leave()
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(pid, 0)
    assert told(report)["state"] == "FINISHED"
