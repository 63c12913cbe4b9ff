"""The exit code is the command's, or tells by its number whose it is."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from programs.wrapping import Wrap

pytestmark = pytest.mark.requirement("run-3.2")


@pytest.mark.parametrize("code", [0, 1, 2, 3, 99, 123, 124, 125, 126, 127, 128, 130, 143, 200, 254, 255])
def test_exit_codes_are_the_commands(wrap: Wrap, code: int) -> None:
    done = wrap.run("--report", str(wrap.report), "--", "sh", "-c", f"exit {code}")
    assert (done.returncode, done.stderr) == (code, b"")
    outcome = wrap.outcome()
    assert outcome["exit_code"] == code
    assert outcome["signal"] is None
    assert outcome["state"] == ("FAILED" if code else "FINISHED")
    assert outcome["reason"] == ("AppFailed" if code else None)


@pytest.mark.slow
def test_every_exit_code_is_the_commands(wrap: Wrap) -> None:
    assert [wrap.run("--", "sh", "-c", f"exit {code}").returncode for code in range(256)] == list(range(256))


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM, signal.SIGRTMIN])
def test_a_signal_from_elsewhere_is_a_failure_told_as_128_and_its_number(wrap: Wrap, number: int) -> None:
    done = wrap.run("--report", str(wrap.report), "--", "sh", "-c", f"ulimit -c 0; kill -{int(number)} $$")
    assert done.returncode == 128 + number
    assert done.stderr.count(b"\n") == 1
    outcome = wrap.outcome()
    assert (outcome["state"], outcome["reason"]) == ("FAILED", "AppFailed")
    assert (outcome["exit_code"], outcome["signal"]) == (None, number)


@pytest.mark.requirement("run-3.3")
def test_a_deadline_is_124(wrap: Wrap) -> None:
    done = wrap.run("--active-deadline", "100ms", "--report", str(wrap.report), "--", "sleep", "60")
    assert done.returncode == 124
    assert done.stderr.count(b"\n") == 1
    assert b"deadline" in done.stderr
    assert b"pid 0" not in wrap.report.read_bytes()
    outcome = wrap.outcome()
    assert (outcome["state"], outcome["reason"], outcome["signal"]) == ("FAILED", "DeadlineExceeded", signal.SIGTERM)


@pytest.mark.requirement("run-3.3")
def test_a_deadline_is_124_and_no_success_though_the_command_exits_with_0(wrap: Wrap) -> None:
    script = "trap 'exit 0' TERM; while :; do sleep 0.01; done"
    done = wrap.run("--active-deadline", "300ms", "--report", str(wrap.report), "--", "sh", "-c", script)
    assert done.returncode == 124
    assert (wrap.outcome()["state"], wrap.outcome()["exit_code"]) == ("FAILED", 1)


def test_a_command_that_is_not_there_is_127(wrap: Wrap, tmp_path: Path) -> None:
    for command in ("no-such-command-at-all", str(tmp_path / "nothing"), "./nothing", ""):
        done = wrap.run("--report", str(wrap.report), "--", command)
        assert done.returncode == 127, command
        assert done.stderr.count(b"\n") == 1
        assert done.stdout == b""
        assert wrap.left() == []


def test_a_command_that_cannot_be_executed_is_126(wrap: Wrap, tmp_path: Path) -> None:
    plain, lost = tmp_path / "plain", tmp_path / "lost"
    plain.write_text("no program\n")
    lost.write_text("#!/no/such/interpreter\n")
    lost.chmod(0o755)
    for command in (plain, lost, tmp_path):
        done = wrap.run("--report", str(wrap.report), "--", str(command))
        assert done.returncode == 126, command
        assert done.stderr.count(b"\n") == 1
        outcome = wrap.outcome()
        assert (outcome["state"], outcome["exit_code"]) == ("FAILED", 126)
        assert outcome["reason"] == "SubmissionFailed"
        assert outcome["started_at"] is None
        assert wrap.left() == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["-h", "--version", "--json", "--name", "x"],
        ["--", "--"],
        ["-", "", " ", "$(id)", "`id`", "a\nb", "*", "\\", '"', "'"],
        ["--grace", "nonsense", "--unknown"],
    ],
)
def test_the_commands_own_arguments_are_not_touched(wrap: Wrap, arguments: list[str]) -> None:
    for separator in (["--"], []):
        done = wrap.run(*separator, "printf", "<%s>", *arguments)
        assert done.stdout == "".join(f"<{argument}>" for argument in arguments).encode()
        assert done.returncode == 0


def test_arguments_that_are_no_text_arrive_byte_for_byte(wrap: Wrap) -> None:
    raw = bytes(range(1, 256))
    done = wrap.run("--report", str(wrap.report), "--", "printf", "%s", raw)
    assert done.stdout == raw
    done = wrap.run("--json", "--name", b"n\xff", "--", "printf", "%s", b"\xff\xfe")
    assert done.stdout.split(b"\n")[0] == b"\xff\xfe"
    assert json.loads(done.stdout.split(b"\n")[-2])["name"] == "n\udcff"


@pytest.mark.requirement("run-3.3")
def test_only_the_mark_is_added_to_the_environment(wrap: Wrap) -> None:
    for more in ({}, {"LC_CTYPE": "POSIX"}, {"LANG": "C"}, {"LC_ALL": "C"}, {"A": "b=c\nd", "E": ""}):
        env = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "RAYDP_WRAP_HOME")} | more
        done = wrap.run("--", "env", "-0", env=env)
        shown = done.stdout.rstrip(b"\0").split(b"\0")
        ours = [entry for entry in shown if entry.startswith(b"RAYDP_WRAP_ATTEMPT_ID=")]
        assert len(ours) == 1
        assert [entry for entry in shown if entry not in ours] == [f"{k}={v}".encode() for k, v in env.items()]


@pytest.mark.requirement("run-3.3")
def test_env_sets_and_replaces_variables(wrap: Wrap) -> None:
    options = ["--env", "NEW=a=b\nc", "--env", "OLD=after", "--env", "EMPTY=", "--env", b"RAW=\xff\xfe"]
    done = wrap.run(*options, "--", "env", "-0", env={**os.environ, "OLD": "before"})
    shown = done.stdout.split(b"\0")
    for entry in (b"NEW=a=b\nc", b"OLD=after", b"EMPTY=", b"RAW=\xff\xfe"):
        assert shown.count(entry) == 1
    assert b"OLD=before" not in shown


@pytest.mark.requirement("run-3.3")
def test_cwd_is_where_the_command_runs(wrap: Wrap, tmp_path: Path) -> None:
    where = tmp_path / "a place"
    where.mkdir()
    assert wrap.run("--cwd", str(where), "--", "/bin/pwd").stdout == f"{where}\n".encode()
    assert wrap.run("--cwd", "a place", "--", "/bin/pwd", cwd=tmp_path).stdout == f"{where}\n".encode()


@pytest.mark.requirement("run-3.3")
def test_a_relative_command_counts_from_cwd(wrap: Wrap, tmp_path: Path) -> None:
    where = tmp_path / "there"
    where.mkdir()
    program = where / "program"
    program.write_text("#!/bin/sh\necho relative\n")
    program.chmod(0o755)
    assert wrap.run("--cwd", str(where), "--", "./program").stdout == b"relative\n"
    path = f"PATH=.:{os.environ['PATH']}"
    assert wrap.run("--cwd", str(where), "--env", path, "--", "program").stdout == b"relative\n"


@pytest.mark.requirement("run-3.3")
def test_the_command_is_found_in_its_own_path(wrap: Wrap, tmp_path: Path) -> None:
    program = tmp_path / "only-here"
    program.write_text("#!/bin/sh\necho found\n")
    program.chmod(0o755)
    assert wrap.run("--", "only-here").returncode == 127
    assert wrap.run("--env", f"PATH={tmp_path}:/bin:/usr/bin", "--", "only-here").stdout == b"found\n"


@pytest.mark.requirement("run-3.3")
def test_the_name_is_the_commands_unless_given(wrap: Wrap) -> None:
    wrap.run("--report", str(wrap.report), "--", "/bin/true")
    assert wrap.outcome()["name"] == "true"
    wrap.run("--report", str(wrap.report), "--name", "nightly", "--", "/bin/true")
    assert wrap.outcome()["name"] == "nightly"


@pytest.mark.requirement("run-3.3")
def test_json_is_the_last_line_whatever_the_command_wrote(wrap: Wrap) -> None:
    for text in ("", "no newline", "one\n"):
        done = wrap.run("--json", "--report", str(wrap.report), "--", "printf", "%s", text)
        assert done.stdout.startswith(text.encode())
        assert json.loads(done.stdout.splitlines()[-1]) == wrap.outcome()
        assert done.stdout.endswith(b"\n")
    done = wrap.run("--json", "--", "no-such-command-at-all")
    assert json.loads(done.stdout)["exit_code"] == 127
    assert done.returncode == 127


def test_umask_limits_and_directory_are_the_callers(wrap: Wrap, tmp_path: Path) -> None:
    wrapped = shlex.join(str(word) for word in wrap.argv("--"))
    script = f"umask 0027; ulimit -n 300; cd {tmp_path}; {wrapped} sh -c 'umask; ulimit -n; pwd'"
    done = subprocess.run(["sh", "-c", script], check=True, stdout=subprocess.PIPE, timeout=60)
    assert done.stdout.decode().split() == ["0027", "300", str(tmp_path)]


def test_it_runs_where_the_directory_is_gone(wrap: Wrap, tmp_path: Path) -> None:
    wrapped = shlex.join(str(word) for word in wrap.argv("--", "sh", "-c", "exit 3"))
    script = f"mkdir {tmp_path}/d; cd {tmp_path}/d; rmdir {tmp_path}/d; {wrapped}"
    assert subprocess.run(["sh", "-c", script], check=False, timeout=60).returncode == 3


def test_help_and_version_are_told(wrap: Wrap) -> None:
    done = wrap.run("--help")
    assert done.returncode == 0
    for option in ("--grace", "--stop-signal", "--active-deadline", "--cwd", "--env", "--name", "--report", "--json"):
        assert option.encode() in done.stdout
