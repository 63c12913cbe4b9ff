"""Signals to a run without a terminal."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from programs import wrapping
from programs.wrapping import Wrap, alive, line, until

pytestmark = pytest.mark.requirement("run-3.2")

ON_SIGNALS = str(Path(wrapping.__file__).parent / "on_signals.py")
IGNORES = ["sh", "-c", "trap '' TERM INT; echo ready $$; while :; do sleep 0.05; done"]
LONG = "60s"


def finish(process: subprocess.Popen[bytes]) -> tuple[int, bytes]:
    assert process.stdin is not None
    assert process.stderr is not None
    process.stdin.close()
    code = process.wait(45)
    return code, process.stderr.read()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_term_and_int_stop_the_job(wrap: Wrap, number: int, code: int) -> None:
    process = wrap.start("--report", str(wrap.report), "--", "sh", "-c", "echo ready; exec sleep 60")
    assert line(process) == b"ready"
    process.send_signal(number)
    assert finish(process) == (code, b"")
    outcome = wrap.outcome()
    assert (outcome["state"], outcome["reason"]) == ("KILLED", "StopRequested")
    assert (outcome["exit_code"], outcome["signal"]) == (None, number)
    assert f"pid {os.getpid()}" in outcome["diagnostics"]
    assert wrap.left() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_command_may_exit_with_0_when_stopped_and_is_killed_all_the_same(wrap: Wrap, number: int) -> None:
    script = "trap 'echo cleaned; exit 0' TERM INT; echo ready; while :; do sleep 0.02; done"
    process = wrap.start("--report", str(wrap.report), "--", "sh", "-c", script)
    assert line(process) == b"ready"
    process.send_signal(number)
    assert line(process) == b"cleaned"
    assert finish(process)[0] == 143
    assert (wrap.outcome()["state"], wrap.outcome()["exit_code"]) == ("KILLED", 143)


def test_a_commands_own_code_after_a_stop_is_kept(wrap: Wrap) -> None:
    script = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.02; done"
    process = wrap.start("--report", str(wrap.report), "--", "sh", "-c", script)
    assert line(process) == b"ready"
    process.terminate()
    assert finish(process)[0] == 7
    assert (wrap.outcome()["state"], wrap.outcome()["exit_code"]) == ("KILLED", 7)


@pytest.mark.requirement("run-3.3")
def test_the_stop_signal_is_what_a_deadline_sends(wrap: Wrap) -> None:
    script = "trap 'echo usr; exit 5' USR1; while :; do sleep 0.02; done"
    done = wrap.run("--stop-signal", "USR1", "--active-deadline", "500ms", "--grace", LONG, "--", "sh", "-c", script)
    assert (done.returncode, done.stdout) == (124, b"usr\n")


def test_signals_that_are_no_stop_are_passed_on(wrap: Wrap, tmp_path: Path) -> None:
    names = ["SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGCONT"]
    counts = tmp_path / "counts"
    process = wrap.start("--report", str(wrap.report), "--", sys.executable, ON_SIGNALS, str(counts), *names)
    assert line(process) == b"ready"
    for name in names:
        process.send_signal(getattr(signal, name))
        until(lambda name=name: name in counts.read_text(), f"{name} reached the command")
    assert finish(process) == (0, b"")
    assert sorted(counts.read_text().split()) == sorted(names)
    assert wrap.outcome()["state"] == "FINISHED"


@pytest.mark.parametrize("name", ["SIGHUP", "SIGQUIT", "SIGUSR1"])
def test_a_command_that_a_passed_on_signal_ends_was_killed(wrap: Wrap, name: str) -> None:
    number = getattr(signal, name)
    script = "ulimit -c 0; echo ready; exec sleep 60"
    process = wrap.start("--report", str(wrap.report), "--", "sh", "-c", script)
    assert line(process) == b"ready"
    process.send_signal(number)
    assert finish(process) == (128 + number, b"")
    assert (wrap.outcome()["state"], wrap.outcome()["signal"]) == ("KILLED", number)


def test_nohup_is_kept_for_us_and_the_command(wrap: Wrap) -> None:
    script = "echo $$; read wait; exit 4"
    process = wrap.start("--", "sh", "-c", script, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    driver = int(line(process))
    for pid in (process.pid, driver):
        ignored = next(row for row in Path(f"/proc/{pid}/status").read_text().splitlines() if row.startswith("SigIgn"))
        assert int(ignored.split()[1], 16) & 1, f"{pid} ignores HUP"
        os.kill(pid, signal.SIGHUP)
    assert process.stdin is not None
    process.stdin.write(b"go\n")
    assert finish(process) == (4, b"")


@pytest.mark.requirement("run-3.3")
def test_a_command_that_ignores_term_is_killed_after_the_grace_and_that_is_told(wrap: Wrap) -> None:
    process = wrap.start("--grace", "300ms", "--report", str(wrap.report), "--", *IGNORES)
    line(process)
    process.terminate()
    code, err = finish(process)
    assert code == 137
    assert err.count(b"\n") == 1
    assert b"grace" in err
    outcome = wrap.outcome()
    assert (outcome["state"], outcome["signal"]) == ("KILLED", signal.SIGKILL)
    assert "grace" in outcome["diagnostics"]


def test_a_second_term_shortens_the_grace(wrap: Wrap) -> None:
    process = wrap.start("--grace", LONG, "--", *IGNORES)
    driver = int(line(process).split()[1])
    process.terminate()
    time.sleep(0.3)  # two requests are two only if they are apart: this is no wait for an event
    assert alive(driver)
    began = time.monotonic()
    process.terminate()
    assert finish(process)[0] == 137
    assert 0.5 < time.monotonic() - began < 30


def test_a_third_term_kills(wrap: Wrap) -> None:
    process = wrap.start("--grace", LONG, "--", *IGNORES)
    line(process)
    began = time.monotonic()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
        process.send_signal(number)
        time.sleep(0.15)  # apart, as above
    assert finish(process)[0] == 137
    assert time.monotonic() - began < 30


def test_the_same_signal_twice_at_once_is_one_request(wrap: Wrap) -> None:
    """Coreutils' timeout signals its child, and then the group the child is in."""
    slow = "trap 'sleep 2; echo cleaned; exit 7' TERM; echo ready; while :; do sleep 0.02; done"
    process = wrap.start("--grace", LONG, "--", "sh", "-c", slow)
    assert line(process) == b"ready"
    for _ in range(2):
        process.terminate()
        time.sleep(0.001)
    assert line(process) == b"cleaned"
    assert finish(process)[0] == 7


def test_timeout_lets_the_command_clean_up(wrap: Wrap, tmp_path: Path) -> None:
    cleaned = tmp_path / "cleaned"
    slow = f"trap 'sleep 2; echo yes > {cleaned}; exit 7' TERM; while :; do sleep 0.02; done"
    wrapped = wrap.argv("--grace", "15s", "--report", str(wrap.report), "--", "sh", "-c", slow)
    done = subprocess.run(["timeout", "1", *wrapped], check=False, timeout=60, start_new_session=True)
    assert done.returncode == 124
    until(cleaned.exists, "the command cleaned up")
    assert (wrap.outcome()["state"], wrap.outcome()["exit_code"]) == ("KILLED", 7)


def test_a_flood_of_signals_breaks_nothing(wrap: Wrap, tmp_path: Path) -> None:
    counts = tmp_path / "counts"
    process = wrap.start("--", sys.executable, ON_SIGNALS, str(counts), "SIGUSR1", "SIGUSR2", "SIGHUP")
    assert line(process) == b"ready"
    for _ in range(3000):
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP):
            process.send_signal(number)
    assert finish(process) == (0, b"")
    assert set(counts.read_text().split()) == {"SIGUSR1", "SIGUSR2", "SIGHUP"}


def test_a_signal_while_starting_is_not_lost_and_leaves_nothing(wrap: Wrap) -> None:
    """Sent at points all over the start: nothing was started, or what was started is stopped."""
    for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        for step in range(12):
            process = wrap.start("--", "sleep", "60")
            time.sleep(step * 0.015)  # a point in the start, not a wait
            process.send_signal(number)
            returned, err = finish(process)
            # While Python itself is starting, Ctrl-C is its to answer, in its own words.
            if number != signal.SIGINT or b"KeyboardInterrupt" not in err:
                assert (returned, err) in ((-number, b""), (code, b"")), step
            assert wrap.left() == []


def test_a_job_that_was_stopped_by_sigstop_can_be_ended(wrap: Wrap) -> None:
    process = wrap.start("--", "sh", "-c", "echo $$; exec sleep 60")
    driver = int(line(process))
    os.kill(driver, signal.SIGSTOP)
    until(lambda: " T " in Path(f"/proc/{driver}/stat").read_text(), "it is stopped")
    process.terminate()
    assert finish(process)[0] == 143


def test_what_the_command_leaves_behind_is_gone_when_the_run_ends(wrap: Wrap) -> None:
    script = "sleep 61 & echo $!; setsid sleep 62 >/dev/null 2>&1 & echo $!; exit 3"
    done = wrap.run("--", "bash", "-c", script)
    assert done.returncode == 3
    assert [pid for pid in map(int, done.stdout.split()) if alive(pid)] == []


def test_interrupted_in_a_script_the_script_ends_too(wrap: Wrap) -> None:
    """Not on a terminal, INT to the group: the job is stopped, by its own session, and the code says so."""
    wrapped = shlex.join(str(word) for word in wrap.argv("--", "sh", "-c", "echo ready; exec sleep 60"))
    script = subprocess.Popen(
        ["bash", "-c", f"{wrapped}; echo code $?"], stdout=subprocess.PIPE, start_new_session=True
    )
    assert line(script) == b"ready"
    wrapper = int(Path(f"/proc/{script.pid}/task/{script.pid}/children").read_text())
    os.kill(wrapper, signal.SIGINT)
    assert script.communicate(timeout=45)[0] == b"code 130\n"
