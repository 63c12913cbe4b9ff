"""exec: the command is told, bounded, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from programs.facts import eventually
from sinks.told import HOSTILE, outcome, report

from raydp_wrap.backend import Answer, Verdict
from raydp_wrap.errors import UsageError
from raydp_wrap.model import TerminalState
from raydp_wrap.outcome import to_dict
from raydp_wrap.process import News
from raydp_wrap.sinks import canonical, parse
from raydp_wrap.sinks.command import Command, _follow, _pipe

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.requirement("sink-4.3")

RETRY = Verdict.RETRY_AFTER
VARIABLES = (
    "SUBMISSION_ID", "NAME", "APP_ID", "ATTEMPT", "STATE", "EXIT_CODE", "SIGNAL", "REASON", "KEY", "TRIES",
    "SINKS",
)  # fmt: skip
SHOW = """
import json, os, sys
found = {"stdin": sys.stdin.buffer.read().decode(), "cwd": os.getcwd(), "argv": sys.argv[2:]}
env = {os.fsencode(k).decode(): os.fsencode(v).decode(errors="replace") for k, v in os.environ.items()}
found["env"] = {k: v for k, v in env.items() if k.startswith("RAYDP_WRAP_")}
with open(sys.argv[1], "w", encoding="utf-8") as file:
    json.dump(found, file)
"""


def script(code: str, *args: object) -> Command:
    sink = Command(shlex.join([sys.executable, "-Ic", code, *map(str, args)]))
    sink.check()
    return sink


def shell(code: str) -> Command:
    sink = Command(shlex.join(["sh", "-c", code]))
    sink.check()
    return sink


def told(tmp_path: Path, *args: str, **changes: object) -> dict[str, object]:
    assert script(SHOW, tmp_path / "told", *args).deliver(report(**changes)) == Answer(Verdict.ACCEPTED)
    return json.loads((tmp_path / "told").read_text(encoding="utf-8"))


def test_it_has_the_outcome_on_stdin_and_in_its_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:  # an outer job's: none of them may be taken for this one's
        monkeypatch.setenv(f"RAYDP_WRAP_{name}", "outer")
    found = told(tmp_path, tries=4)
    assert json.loads(str(found["stdin"])) == to_dict(outcome())
    assert found["cwd"] == "/"
    env = dict(found["env"])  # type: ignore[call-overload]
    env.pop("RAYDP_WRAP_ATTEMPT_ID")  # the guard's mark
    for name in set(env) - {f"RAYDP_WRAP_{name}" for name in VARIABLES}:
        del env[name]  # the tests' own
    assert env == {
        "RAYDP_WRAP_SUBMISSION_ID": "s-1",
        "RAYDP_WRAP_NAME": "nightly",
        "RAYDP_WRAP_APP_ID": "app-7",
        "RAYDP_WRAP_ATTEMPT": "2",
        "RAYDP_WRAP_STATE": "FAILED",
        "RAYDP_WRAP_EXIT_CODE": "3",
        "RAYDP_WRAP_REASON": "AppFailed",
        "RAYDP_WRAP_KEY": "s-1/0",
        "RAYDP_WRAP_TRIES": "4",
    }


def test_a_signal_and_no_code(tmp_path: Path) -> None:
    found = told(tmp_path, signal=9, exit_code=None, app_id=None, reason=None, state=TerminalState.KILLED)
    env = dict(found["env"])  # type: ignore[call-overload]
    assert env["RAYDP_WRAP_SIGNAL"] == "9"
    assert not {"RAYDP_WRAP_EXIT_CODE", "RAYDP_WRAP_APP_ID", "RAYDP_WRAP_REASON"} & env.keys()


@pytest.mark.requirement("fault-38", "fault-41")
def test_hostile_values_are_data(tmp_path: Path) -> None:
    bait = "$(touch x); `touch x` \n'\" %s"
    found = told(tmp_path, bait, "", "*", name=HOSTILE, diagnostics=HOSTILE, key="k\n\0", submission_id="x" * 200_000)
    assert found["argv"] == [bait, "", "*"]
    env = dict(found["env"])  # type: ignore[call-overload]
    assert env["RAYDP_WRAP_KEY"] == "k\n\ufffd"
    assert set(env["RAYDP_WRAP_SUBMISSION_ID"]) == {"x"}
    assert json.loads(str(found["stdin"]))["submission_id"] == "x" * 200_000
    expected = HOSTILE.replace("\udcff", "\ufffd").replace("\ud800", "\ufffd")
    assert json.loads(str(found["stdin"]))["name"] == expected
    assert not os.path.exists("/x")


def test_a_byte_that_was_no_utf8_is_itself_in_the_environment(tmp_path: Path) -> None:
    code = "import os, sys; open(sys.argv[1], 'wb').write(os.environb[b'RAYDP_WRAP_NAME'])"
    assert script(code, tmp_path / "n").deliver(report(name=HOSTILE)).verdict is Verdict.ACCEPTED
    assert b"\xe2\x80\xae\xff\xef\xbf\xbd $(touch" in (tmp_path / "n").read_bytes()


@pytest.mark.parametrize(
    ("code", "verdict", "text"),
    [
        ("exit 0", Verdict.ACCEPTED, ""),
        ("echo fine; exit 0", Verdict.ACCEPTED, ""),
        ("exit 65", Verdict.REJECTED, "it exited with 65"),
        ("echo no >&2; exit 65", Verdict.REJECTED, "it exited with 65: no"),
        ("exit 1", RETRY, "it exited with 1"),
        ("echo out; echo err >&2; exit 75", RETRY, "it exited with 75: out err"),
        ("kill -SEGV $$", RETRY, "it was ended by SIGSEGV"),
        ("kill -TERM $$", RETRY, "it was ended by SIGTERM"),
        ("exec 0<&- 1>&- 2>&-; exit 3", RETRY, "it exited with 3"),
    ],
)
def test_what_its_end_means(code: str, verdict: Verdict, text: str) -> None:
    assert shell(f"ulimit -c 0; {code}").deliver(report()) == Answer(verdict, text)


@pytest.mark.requirement("fault-38")
def test_what_it_prints_is_not_passed_on_and_its_end_is_harmless(capfd: pytest.CaptureFixture[str]) -> None:
    end = b"\x1b]0;t\x07\0\xff\xe2\x80\xae the end"
    code = f"import sys; sys.stdout.buffer.write(b'x' * 3_000_000 + {end!r}); sys.exit(7)"
    answer = script(code).deliver(report())
    assert answer.verdict is RETRY
    assert answer.text.startswith("it exited with 7: …x")
    assert answer.text.endswith("x\\x1b]0;t\\x07\\x00\ufffd\\u202e the end")
    assert answer.text.isprintable()
    assert len(answer.text) <= 500
    assert capfd.readouterr() == ("", "")


def test_what_it_echoes_of_its_arguments_is_hidden() -> None:
    sink = Command("sh -c 'echo \"$@ ${0#x}\"; exit 1' /a/path 'Bearer hunter2xyz' /b/path")
    sink.check()
    assert sink.deliver(report()).text == "it exited with 1: … /b/path /a/path"


def test_its_last_words_are_read_when_they_come_with_its_end() -> None:
    with _pipe() as (ours, theirs):

        class Ending:
            def fileno(self) -> int:
                return ready

            def read(self) -> SimpleNamespace:
                os.write(theirs, b"last words")
                return SimpleNamespace(news=News.ENDED)

            def wait(self) -> str:
                return "record"

        ready = os.memfd_create("always readable")
        try:
            assert _follow(Ending(), ours, time.monotonic() + 60) == ("record", b"last words")  # type: ignore[arg-type]
        finally:
            os.close(ready)
            os.close(theirs)


def test_one_that_does_not_read_keeps_nobody_waiting() -> None:
    assert shell("exit 0").deliver(report(diagnostics="x" * 4_000_000)).verdict is Verdict.ACCEPTED


@pytest.mark.parametrize(
    "code",
    ["exec sleep 600", "trap '' TERM; sleep 600 & wait; wait", "trap 'exit 0' TERM; sleep 600 & wait", "exec yes"],
)
def test_one_that_does_not_end_is_ended(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raydp_wrap.sinks.command._GRACE", 0.2)
    sink = shell(code)
    sink._seconds = 0.3
    answer = sink.deliver(report())
    assert answer.verdict is RETRY
    assert answer.text.startswith("it was not done within 0.3 s")


def test_nothing_it_starts_outlives_it(tmp_path: Path) -> None:
    sink = shell(f"setsid sleep 600 & echo $! > {tmp_path}/pid; exit 0")
    assert sink.deliver(report()).verdict is Verdict.ACCEPTED
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_it_dies_with_who_called(tmp_path: Path) -> None:
    sink = shell(f"echo $$ > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/pid; exec sleep 600")
    pid = os.fork()
    if not pid:
        try:
            sink.deliver(report())
        finally:
            os._exit(1)
    eventually((tmp_path / "pid").exists, "the command runs")
    command = int((tmp_path / "pid").read_text())
    guard = parent(command)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.waitpid(guard, 0)  # ours since its own parent died; it leaves last
    with pytest.raises(ProcessLookupError):
        os.kill(command, 0)


def parent(pid: int) -> int:
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        return int(file.read().rpartition(")")[2].split()[1])


def test_what_cannot_be_started_is_tried_again(tmp_path: Path) -> None:
    program = tmp_path / "tell"
    program.write_text("#!/no/such/interpreter\n")
    program.chmod(0o755)
    sink = Command(str(program))
    sink.check()
    assert sink.deliver(report()).verdict is RETRY
    program.chmod(0o644)
    assert sink.deliver(report()).verdict is RETRY
    program.unlink()
    answer = sink.deliver(report())
    assert answer == Answer(RETRY, f"{program}: no such file")
    assert Command("no-such-program hunter2").deliver(report()).verdict is RETRY


@pytest.mark.requirement("sink-4.4")
def test_the_program_that_was_found_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "a program"
    program.write_text("#!/bin/sh\n[ \"$1\" = 'b  c' ]\n")
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    for text in ("exec:'./a program' 'b  c'", "exec:'a program' 'b  c'"):
        monkeypatch.setenv("PATH", f":{os.environ['PATH']}")  # an empty entry is the directory we are in
        named = parse(text, {})
        named.sink.check()
        kept = canonical(*named)
        assert kept == f"exec:'{program}' 'b  c'"
        monkeypatch.setenv("PATH", "/nowhere")
        assert parse(kept, {}).sink.deliver(report()).verdict is Verdict.ACCEPTED
        monkeypatch.undo()
        monkeypatch.chdir(tmp_path)
    absolute = Command(f"'{program}' x  y")
    absolute.check()
    assert absolute.text is None


@pytest.mark.requirement("sink-4.4")
@pytest.mark.parametrize(
    "line",
    [
        "",
        "  ",
        "''",
        "'hunter2",
        "sh 'hunter2",
        "sh \0hunter2",
        "no-such-program hunter2",
        "/etc/passwd hunter2",
        "./no hunter2",
        "/ hunter2",
    ],
)
def test_what_is_no_command_is_refused_in_one_sentence(line: str) -> None:
    with pytest.raises(UsageError) as caught:
        Command(line).check()
    text = str(caught.value)
    assert "hunter2" not in text
    assert text.isprintable()
    assert text.endswith(".")
