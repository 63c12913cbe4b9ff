"""The process that runs the job is killed, or its guard is: what is left, and what is told."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from programs.wrapping import Wrap, alive, line, reap_orphans, until

TREE = """
trap '' TERM
sleep 61 & a=$!
setsid sh -c 'trap "" TERM; echo $$; while :; do sleep 0.05; done' & b=$!
echo $$ $a $b
while :; do sleep 0.05; done
"""


def pids_of(process: subprocess.Popen[bytes], lines: int = 2) -> list[int]:
    return sorted({int(word) for _ in range(lines) for word in line(process).split()})


def guard_of(process: subprocess.Popen[bytes]) -> int:
    (guard,) = map(int, Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split())
    return guard


@pytest.mark.requirement("guard-2.2", "fault-1")
@pytest.mark.parametrize("broken", [{}, {"PYTHONPATH": "/nowhere", "PYTHONHOME": "/nowhere", "PATH": "/nowhere"}])
def test_the_owner_killed(wrap: Wrap, broken: dict[str, str]) -> None:
    options = [word for name, value in broken.items() for word in ("--env", f"{name}={value}")]
    inner = TREE if not broken else f"PATH={os.environ['PATH']}; {TREE}"
    process = wrap.start(
        *options, "--report", str(wrap.report), "--name", "j\u00f6b", "--", shutil.which("bash") or "", "-c", inner
    )
    pids = pids_of(process)
    process.kill()
    began = time.monotonic()
    process.wait()
    until(lambda: not any(map(alive, pids)), "the tree is gone")
    assert time.monotonic() - began < 10  # a second or two, on a machine that does other things
    until(wrap.report.exists, "the report is delivered")
    reap_orphans()
    outcome = wrap.outcome()
    assert (outcome["state"], outcome["reason"], outcome["name"]) == ("KILLED", "OwnerDied", "j\u00f6b")
    assert outcome["signal"] == signal.SIGKILL
    assert wrap.left() == []


@pytest.mark.requirement("guard-2.2")
def test_the_owner_killed_and_the_reports_directory_gone(wrap: Wrap, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    process = wrap.start("--report", str(there / "report.json"), "--", "sh", "-c", "echo $$; exec sleep 60")
    driver = int(line(process))
    shutil.rmtree(there)
    process.kill()
    process.wait()
    reap_orphans()
    assert not alive(driver)
    assert not there.exists()
    assert wrap.left() == []  # what is known is in the store, and the report waits there
    there.mkdir()
    done = wrap.call("deliver")
    assert done.returncode == 0, done
    assert json.loads((there / "report.json").read_text())["reason"] == "OwnerDied"


@pytest.mark.requirement("guard-2.2")
def test_a_report_that_stands_is_not_decided_again(wrap: Wrap, tmp_path: Path) -> None:
    """Killed between the report and the word to the guard: the delivery finds the report, and leaves it."""
    stop = tmp_path / "stop.py"
    stop.write_text(
        "import os, signal, sys\n"
        "from raydp_wrap import process\n"
        "process.Guard.done = lambda self: os.kill(os.getpid(), signal.SIGKILL)\n"
        "from raydp_wrap.cli import main\n"
        "sys.exit(main())\n"
    )
    command = [sys.executable, str(stop), "run", "--report", str(wrap.report), "--", "sh", "-c", "exit 129"]
    subprocess.run(command, check=False, timeout=60, start_new_session=True)
    before = os.stat(wrap.report)
    reap_orphans()
    assert os.stat(wrap.report).st_ino == before.st_ino
    assert wrap.outcome()["exit_code"] == 129
    assert wrap.left() == []
    assert sorted(path.name for path in wrap.report.parent.glob(".*")) == []


@pytest.mark.requirement("guard-2.6", "fault-2")
def test_the_guard_killed(wrap: Wrap) -> None:
    process = wrap.start("--report", str(wrap.report), "--", "bash", "-c", TREE)
    pids = pids_of(process)
    os.kill(guard_of(process), signal.SIGKILL)
    _, err = process.communicate(timeout=45)
    assert process.returncode == 125
    assert err.count(b"\n") == 1
    assert b"guard" in err
    outcome = wrap.outcome()
    assert (outcome["state"], outcome["reason"]) == ("FAILED", "JobLost")
    assert [pid for pid in pids if alive(pid)] == []
    reap_orphans()
    assert wrap.left() == []


@pytest.mark.requirement("guard-2.6", "fault-2")
def test_the_guard_killed_after_a_stop_was_asked_for(wrap: Wrap) -> None:
    script = "trap 'echo asked' TERM; echo ready; while :; do sleep 0.05; done"
    process = wrap.start("--grace", "60s", "--report", str(wrap.report), "--", "bash", "-c", script)
    assert line(process) == b"ready"
    process.terminate()
    assert line(process) == b"asked"
    os.kill(guard_of(process), signal.SIGKILL)
    process.communicate(timeout=45)
    assert process.returncode == 143
    outcome = wrap.outcome()
    assert (outcome["state"], outcome["reason"], outcome["exit_code"]) == ("KILLED", "StopRequested", 143)
    reap_orphans()


@pytest.mark.requirement("guard-2.2")
@pytest.mark.slow
def test_the_owner_killed_at_any_time(wrap: Wrap, tmp_path: Path) -> None:
    for step in range(60):
        marker = tmp_path / f"pid{step}"
        process = wrap.start("--report", str(wrap.report), "--", "sh", "-c", f"echo $$ > {marker}; exec sleep 60")
        time.sleep(step * 0.004)
        process.kill()
        process.wait()
        reap_orphans()
        if marker.exists() and marker.read_text().strip():
            assert not alive(int(marker.read_text()))
        if wrap.report.exists():
            assert json.loads(wrap.report.read_text())["state"] == "KILLED"
            wrap.report.unlink()
