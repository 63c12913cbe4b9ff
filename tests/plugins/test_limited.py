"""Other people's code has a limit of time, and whatever it does comes back as a value."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from programs.installed import plugin

import raydp_wrap
from raydp_wrap.plugins import limited

ROOT = Path(raydp_wrap.__file__).parent.parent


def test_a_value() -> None:
    called = limited.call(lambda: 7, 60)
    assert (called.value, called.error, called.hangs) == (7, None, False)


@pytest.mark.requirement("fault-35")
@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_whatever_is_raised_comes_back(error: BaseException) -> None:
    def fail() -> None:
        raise error

    called = limited.call(fail, 60)
    assert called.error is error
    assert called.says == repr(error)
    assert not called.hangs


@pytest.mark.requirement("fault-35")
def test_an_error_that_cannot_be_told() -> None:
    class MuteError(Exception):
        def __repr__(self) -> str:
            raise SystemExit

    def fail() -> None:
        raise MuteError

    assert limited.call(fail, 60).says == "MuteError"


@pytest.mark.requirement("fault-35")
def test_a_long_error_is_cut() -> None:
    def fail() -> None:
        raise ValueError("x" * 10_000)

    assert len(limited.call(fail, 60).says) == 500


@pytest.mark.requirement("fault-35")
def test_what_hangs_is_left_to_itself() -> None:
    release = threading.Event()
    ended = threading.Event()

    def hang() -> None:
        release.wait(60)
        print("late words")
        ended.set()

    try:
        called = limited.call(hang, 0.05)
        assert called.hangs
        assert called.value is None
        assert limited.abandoned()
    finally:
        release.set()
        assert ended.wait(60)
    for thread in limited._lost:
        thread.join(60)
    assert not limited.abandoned()


@pytest.mark.requirement("fault-35")
def test_what_it_prints_goes_to_stderr_and_ours_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    release = threading.Event()
    printed = threading.Event()

    def talk() -> None:
        print("theirs")
        sys.stdout.write("theirs, too\n")
        printed.set()
        release.wait(60)
        print("theirs, late")

    real = sys.stdout
    limited.call(talk, 0.05)
    assert printed.wait(60)
    print("ours")
    release.set()
    for thread in limited._lost:
        thread.join(60)
    assert sys.stdout is real
    out, err = capsys.readouterr()
    assert out == "ours\n"
    assert err == "theirs\ntheirs, too\ntheirs, late\n"


@pytest.mark.requirement("fault-35")
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_without_streams_nothing_fails(monkeypatch: pytest.MonkeyPatch, stream: str) -> None:
    monkeypatch.setattr(sys, stream, None)
    called = limited.call(lambda: print("theirs"), 60)
    assert called.error is None


@pytest.mark.requirement("fault-35")
def test_no_signal_is_ever_taken_by_its_thread() -> None:
    """One thread that doesn't block SIGTERM is enough for it to end an owner that waits for it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    called = limited.call(lambda: signal.pthread_sigmask(signal.SIG_BLOCK, ()), 60)
    assert called.value is not None
    passed_on = {signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCONT}
    assert called.value >= {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, *passed_on}
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


def test_without_threads_it_is_called_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refused)
    assert limited.call(lambda: 7, 60).value == 7


ENDS = """
import sys
from raydp_wrap.cli.entry import enter
from raydp_wrap.plugins import call

def spin():
    while True:
        print("x" * 1000)

def face():
    print("ours")
    call(spin, 0.2)
    return 3

sys.exit(enter(face, last=True))
"""


@pytest.mark.requirement("fault-35")
def test_a_thread_that_prints_for_ever_does_not_spoil_the_end() -> None:
    """The interpreter aborts when a thread that it stops holds the lock of a stream."""
    for _ in range(3):
        command = [sys.executable, "-c", ENDS]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, capture_output=True, check=False, timeout=60, env=env)
        assert (done.returncode, done.stdout) == (3, b"ours\n")


def test_a_child_can_call_though_a_thread_of_its_parent_held_the_lock() -> None:
    with limited._lock:
        pid = os.fork()
        if pid == 0:
            os._exit(limited.call(lambda: 7, 60).value or 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7


HOLDS_UP = """
import sys, threading, atexit, time
from raydp_wrap import plugins
from raydp_wrap.cli import entry
entry._EXIT_LIMIT = 0.2
{body}
def face():
    print("ours")
    plugins.load()
    return 3
sys.exit(entry.enter(face, last=True))
"""


@pytest.mark.requirement("fault-35")
@pytest.mark.parametrize(
    "source",
    [
        "import atexit, threading\natexit.register(threading.Event().wait)",
        "import atexit, os\n@atexit.register\ndef exit(): raise SystemExit(9)",
        "import threading\nthreading.Thread(target=threading.Event().wait, daemon=False).start()",
    ],
)
def test_what_a_plugin_leaves_behind_does_not_hold_up_the_end(tmp_path: Path, source: str) -> None:
    plugin(tmp_path, "left", source)
    env = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}", "RAYDP_WRAP_PLUGINS": "left"}
    command = [sys.executable, "-c", HOLDS_UP.format(body="")]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60, env=env)
    assert (done.returncode, done.stdout) == (3, b"ours\n")


def test_what_is_registered_for_the_end_is_done(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "RAYDP_WRAP_PLUGINS": "none"}
    body = f"atexit.register(lambda: open({str(tmp_path / 'done')!r}, 'w').close())"
    command = [sys.executable, "-c", HOLDS_UP.format(body=body)]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60, env=env)
    assert (done.returncode, done.stdout) == (3, b"ours\n")
    assert (tmp_path / "done").exists()


def test_what_cannot_be_written_is_told_by_the_interpreter() -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "RAYDP_WRAP_PLUGINS": "none"}
    env.pop("PYTHONUNBUFFERED", None)
    with open("/dev/full", "wb") as full:
        command = [sys.executable, "-c", HOLDS_UP.format(body="")]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False, timeout=60, env=env)
    assert done.returncode == 120
    assert b"No space left" in done.stderr
