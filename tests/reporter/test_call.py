"""A call in a process of its own: whatever it does there, it does to itself."""

from __future__ import annotations

import contextlib
import errno
import faulthandler
import math
import os
import select
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from programs.facts import environment, eventually, nothing_left, state

from raydp_wrap.backend import Answer, Verdict
from raydp_wrap.reporter.call import Call

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.requirement("store-2.4", "fault-35")


@pytest.fixture(params=[0, errno.EPERM, errno.ENOSYS, errno.EMFILE], ids=["pidfd", "EPERM", "ENOSYS", "EMFILE"])
def pidfd(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With pidfds, and where the kernel gives none."""

    def refuse(*_: int) -> int:
        raise OSError(request.param, os.strerror(request.param))

    if request.param:
        monkeypatch.setattr(os, "pidfd_open", refuse)


def answer_of(function: Callable[[], Answer]) -> Answer:
    with nothing_left(), contextlib.closing(Call(function)) as call:
        assert select.select([call], [], [], 20)[0]
        return call.answer()


@pytest.mark.usefixtures("pidfd")
@pytest.mark.parametrize("verdict", Verdict)
def test_it_answers(verdict: Verdict) -> None:
    assert answer_of(lambda: Answer(verdict, "text", 2.5)) == Answer(verdict, "text", 2.5)


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -math.inf, -1.0])
def test_what_is_no_number_of_seconds_is_no_wish(seconds: float) -> None:
    assert answer_of(lambda: Answer(Verdict.RETRY_AFTER, "text", seconds)) == Answer(Verdict.RETRY_AFTER, "text")


def raising(error: BaseException) -> Callable[[], Answer]:
    def function() -> Answer:
        raise error

    return function


def crash() -> Answer:
    faulthandler.disable()
    os.kill(os.getpid(), signal.SIGSEGV)
    raise AssertionError


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (raising(ValueError("no")), "ValueError: no"),
        (raising(ValueError()), "ValueError: ValueError"),
        (raising(SystemExit(0)), "SystemExit: 0"),
        (raising(KeyboardInterrupt()), "KeyboardInterrupt"),
        (lambda: os._exit(0), "exited with 0, without an answer"),
        (lambda: os._exit(7), "exited with 7, without an answer"),
        (crash, f"ended by signal {int(signal.SIGSEGV)}"),
        (lambda: None, "AttributeError"),
        (lambda: "yes", "AttributeError"),
        (lambda: Answer("perhaps"), "ValueError"),
        (lambda: Answer(Verdict.ACCEPTED, "", "soon"), "ValueError"),
    ],
)
@pytest.mark.usefixtures("pidfd")
@pytest.mark.requirement("fault-36")
def test_whatever_else_it_does_is_tried_again(function: Callable[[], Answer], text: str) -> None:
    found = answer_of(function)
    assert found.verdict is Verdict.RETRY_AFTER
    assert text in found.text


def test_an_endless_text_is_cut() -> None:
    assert answer_of(lambda: Answer(Verdict.REJECTED, "x" * 10_000_000)) == Answer(Verdict.REJECTED, "x" * 500)


@pytest.mark.usefixtures("pidfd")
def test_one_that_hangs_is_ended_with_all_it_started(tmp_path: Path) -> None:
    def function() -> Answer:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen(["sleep", "1000"])
        (tmp_path / "new").write_text(str(child.pid))
        (tmp_path / "new").rename(tmp_path / "pid")
        time.sleep(1000)
        raise AssertionError

    with nothing_left():
        call = Call(function)
        eventually((tmp_path / "pid").exists, "it has a child")
        pid = int((tmp_path / "pid").read_text())
        call.close()
        call.close()
        eventually(lambda: state(pid) in ("", "Z"), "its child has ended")
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)  # it came to us, the subreaper


def test_a_child_of_its_that_holds_the_pipe_holds_nobody_up() -> None:
    def function() -> Answer:
        if not os.fork():
            os.setpgid(0, 0)
            time.sleep(3)  # it outlives the call, and ends by itself
            os._exit(0)
        return Answer(Verdict.ACCEPTED)

    call = Call(function)
    assert select.select([call], [], [], 2)[0]
    assert call.answer().verdict is Verdict.ACCEPTED
    call.close()
    os.waitpid(-1, 0)  # it came to us, the subreaper


def test_without_a_pidfd_one_that_can_t_answer_any_more_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: int) -> int:
        raise PermissionError

    def function() -> Answer:
        os.closerange(3, 100)
        time.sleep(1000)
        raise AssertionError

    monkeypatch.setattr(os, "pidfd_open", refuse)
    found = answer_of(function)
    assert found.verdict is Verdict.RETRY_AFTER
    assert "ended by signal 9, without an answer" in found.text


DIES = """
import os, sys, time
from raydp_wrap.reporter.call import Call
def function():
    print(os.getpid(), file=sys.stderr, flush=True)
    time.sleep(1000)
Call(function)
sys.stdin.read()
"""


@pytest.mark.requirement("store-2.5")
def test_it_dies_with_its_maker() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", DIES], stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    ) as maker:
        assert maker.stderr
        pid = int(maker.stderr.readline())
        maker.kill()
    eventually(lambda: state(pid) in ("", "Z"), "it has ended")
    os.waitpid(pid, 0)


def test_stdout_is_the_command_s(capfd: pytest.CaptureFixture[str]) -> None:
    def function() -> Answer:
        os.write(1, b"noise\n")
        return Answer(Verdict.ACCEPTED, os.read(0, 10).decode())

    assert answer_of(function) == Answer(Verdict.ACCEPTED)
    out, err = capfd.readouterr()
    assert (out, err) == ("", "noise\n")


def test_blocked_signals_are_not_its() -> None:
    old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        found = answer_of(lambda: Answer(Verdict.ACCEPTED, str(len(signal.pthread_sigmask(signal.SIG_BLOCK, ())))))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)
    assert found.text == "0"
