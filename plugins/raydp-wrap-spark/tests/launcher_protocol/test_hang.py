"""The hang guard on real JVMs that live on: what it says, when, and that it leaves the others alone."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import time
from contextlib import contextmanager, suppress

import pytest

from raydp_wrap_spark.jvm_threads import Main
from raydp_wrap_spark.launcher_protocol.hang import HangGuard
from raydp_wrap_spark.launcher_protocol.python_driver import find_driver_of

WITHIN = 30.0
STARTING = r"shutdown hooks do not end: .*'hook-1'.*|System\.exit was called, and its JVM does not end"
KEPT = tuple(map(int, os.uname().release.split(".")[:2])) >= (6, 15)


@contextmanager
def jvm(classes, *arguments, flags=()):
    """A running program Hanging, which has come to its end or its hang; its pidfd comes with it."""
    command = ["java", "-XX:TieredStopAtLevel=1", *flags, "-cp", str(classes), "Hanging", *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        pidfd = os.pidfd_open(process.pid)
        try:
            assert process.stdout.readline() == b"up\n", process.stderr.read().decode()
            yield process, pidfd
        finally:
            process.kill()
            process.wait()
            os.close(pidfd)
            with suppress(FileNotFoundError):
                os.unlink(f"/tmp/.java_pid{process.pid}")


def said(guard, stop=lambda: False):
    """What the guard says, or "" where it has nothing left to wait for, or STOP says so."""
    until = time.monotonic() + WITHIN
    while not stop():
        over = guard.step(time.monotonic())
        deadline, sources = guard.deadline(), guard.sources()
        if over or (deadline is None and not sources):
            return over
        now = time.monotonic()
        assert now < until, "the guard does not come to an end"
        select.select(list(sources), [], [], max(0.0, min(until, deadline or until) - now))
    return ""


@pytest.mark.requirement("hang-2", "hang-4")
@pytest.mark.parametrize(
    ("how", "clause", "main", "printed"),
    [
        ("returns", "kept alive by 'pool-1-thread-1'", "ended", False),
        ("listens", "kept alive by 'pool-1-thread-1'", "ended", False),
        ("selects", "kept alive by 'pool-1-thread-1'", "ended", False),
        ("throws", "kept alive by 'pool-1-thread-1'", "ended", True),
        ("exits", "shutdown hooks do not end: 'hook-1'", "exiting", None),
    ],
)
def test_an_application_that_is_done(hanging, how, clause, main, printed):
    with jvm(hanging, how) as (process, pidfd):
        if how == "throws":
            assert b"IllegalStateException" in process.stderr.readline()
        guard = HangGuard(process.pid, pidfd, 0.4)
        began = time.monotonic()
        guard.begin(None, began)
        process.stdin.close()
        told = said(guard)
        # A hook that is only just being started is not to be seen yet, or its thread pool still is.
        assert told == clause or (how == "exits" and re.fullmatch(STARTING, told))
        # Counted from when it was seen to be done.
        assert time.monotonic() - began >= 0.6
        assert process.poll() is None
        facts = guard.facts()
        assert facts["keepers"] in told
        assert facts | {"keepers": ""} == {
            "main": main,
            "python": False,
            "python_exit_code": None,
            "printed_exception": printed,
            "keepers": "",
        }
        guard.cease()
        assert guard.facts() == facts
        assert guard.step(time.monotonic() + 1000) == ""
        guard.close()
        process.kill()
        assert process.stdout.read() == b"", "SIGQUIT made it print"
    assert not os.path.exists(f"/tmp/.attach_pid{process.pid}")


@pytest.mark.requirement("hang-1")
def test_a_main_that_works_on_is_left_alone(hanging):
    with jvm(hanging, "works") as (process, pidfd):
        guard = HangGuard(process.pid, pidfd, 0.02)
        guard.begin(None, time.monotonic())
        # It looks less and less often.
        assert said(guard, lambda: guard._pause > 0.3) == ""
        assert guard.facts() is None
        guard.close()


@pytest.mark.requirement("hang-5")
@pytest.mark.parametrize("how", ["computes", "writes", "reads", "runs", "awaits", "flushes"])
def test_threads_that_work_are_left_to_it(hanging, how):
    with jvm(hanging, how) as (process, pidfd):
        guard = HangGuard(process.pid, pidfd, 0.5)
        guard.begin(None, time.monotonic())
        until = time.monotonic() + 1.5
        assert said(guard, lambda: time.monotonic() > until) == ""
        assert guard._look.threads.main is (Main.EXITING if how == "flushes" else Main.ENDED)
        guard.close()


@pytest.mark.requirement("hang-4")
def test_after_a_garbage_collection_there_is_no_verdict(hanging):
    """What an exception leaves is gone with it, and what is not there proves nothing."""
    with jvm(hanging, "waits") as (process, pidfd):
        guard = HangGuard(process.pid, pidfd, 0.2)
        guard.begin(None, time.monotonic())
        process.stdin.close()
        assert b"IllegalStateException" in process.stderr.readline()
        subprocess.run(["jcmd", str(process.pid), "GC.run"], check=True, stdout=subprocess.DEVNULL)
        assert said(guard) == "kept alive by 'pool-1-thread-1'"
        assert guard.facts()["printed_exception"] is None
        guard.close()


@pytest.mark.requirement("hang-4")
def test_a_collection_while_main_works_does_not_matter(hanging):
    with jvm(hanging, "waits") as (process, pidfd):
        guard = HangGuard(process.pid, pidfd, 0.1)
        guard.begin(None, time.monotonic())
        subprocess.run(["jcmd", str(process.pid), "GC.run"], check=True, stdout=subprocess.DEVNULL)
        before = guard._collections
        assert said(guard, lambda: guard._collections != before) == ""
        process.stdin.write(b"return\n")
        process.stdin.close()
        assert said(guard) == "kept alive by 'pool-1-thread-1'"
        assert guard.facts()["printed_exception"] is False
        guard.close()


@pytest.mark.requirement("hang-4")
def test_a_stop_that_is_heard_of_late_allows_no_verdict(hanging):
    with jvm(hanging, "returns") as (process, pidfd):
        guard = HangGuard(process.pid, pidfd, 0.02)
        guard.begin(None, time.monotonic(), 1.0)
        assert said(guard) == "kept alive by 'pool-1-thread-1'"
        assert guard.facts()["printed_exception"] is None
        guard.close()


@pytest.mark.requirement("hang-6")
def test_a_jvm_that_was_killed_leaves_no_socket(hanging):
    with jvm(hanging, "returns") as (process, pidfd):
        guard = HangGuard(process.pid, pidfd, 0.02)
        guard.begin(None, time.monotonic())
        assert said(guard)
        assert os.path.exists(f"/tmp/.java_pid{process.pid}")
        process.kill()
        process.wait()
        assert os.path.exists(f"/tmp/.java_pid{process.pid}")
        guard.close()
        assert not os.path.exists(f"/tmp/.java_pid{process.pid}")


@pytest.mark.requirement("hang-6")
@pytest.mark.parametrize("end", ["the watch's", "another's socket"])
def test_a_socket_that_may_be_needed_stays(hanging, end):
    with jvm(hanging, "returns") as (process, pidfd):
        path = f"/tmp/.java_pid{process.pid}"
        if end == "another's socket":
            subprocess.run(["jcmd", str(process.pid), "VM.version"], check=True, stdout=subprocess.DEVNULL)
        guard = HangGuard(process.pid, pidfd, 0.02)
        guard.begin(None, time.monotonic())
        assert said(guard)
        if end == "another's socket":
            process.kill()
            process.wait()
        guard.close()
        assert os.path.exists(path)


@pytest.mark.requirement("hang-1", "hang-2")
@pytest.mark.parametrize(
    ("ending", "clause", "main", "code"),
    [
        ("exit 0", "kept alive by 'pool-1-thread-1'", "ended", 0),
        ("exit 3", "shutdown hooks do not end: 'hook-1'", "exiting", 3),
    ],
)
def test_a_python_driver_is_waited_for(hanging, ending, clause, main, code):
    with jvm(hanging, "python", f"read line; {ending}") as (process, pidfd):
        python = find_driver_of(process.pid)
        guard = HangGuard(process.pid, pidfd, 0.2)
        guard.begin(python, time.monotonic())
        # However long it takes, and without looking again and again.
        assert guard.deadline() is None
        assert guard.step(time.monotonic() + 1000) == ""
        process.stdin.close()
        told = said(guard)
        assert clause in told or (main == "exiting" and re.fullmatch(STARTING, told))
        assert guard.facts() | {"keepers": ""} == {
            "main": main,
            "python": True,
            "python_exit_code": code if KEPT else None,
            "printed_exception": None,
            "keepers": "",
        }
        guard.close()
        python.close()


@pytest.mark.requirement("hang-3")
@pytest.mark.parametrize("flag", ["-XX:+DisableAttachMechanism", "-XX:-UsePerfData"])
def test_a_jvm_that_can_not_be_asked_gets_no_signal_and_is_left_alone(hanging, flag):
    with jvm(hanging, "returns", flags=[flag]) as (process, pidfd):
        guard = HangGuard(process.pid, pidfd, 0.02)
        guard.begin(None, time.monotonic())
        assert said(guard) == ""
        assert guard.facts() is None
        process.kill()
        assert process.stdout.read() == b""


@pytest.mark.requirement("hang-3")
def test_a_jvm_without_signals_survives_the_question(hanging):
    """To it a SIGQUIT would be the end; it can be asked all the same."""
    with jvm(hanging, "returns", flags=["-Xrs"]) as (process, pidfd):
        guard = HangGuard(process.pid, pidfd, 0.02)
        guard.begin(None, time.monotonic())
        assert "pool-1-thread-1" in said(guard)
        assert process.poll() is None
        guard.close()


@pytest.mark.requirement("hang-3")
@pytest.mark.skipif(not KEPT, reason="needs a kernel that keeps the exit code of a process that others reaped")
def test_a_python_drivers_code_is_enough(hanging):
    with jvm(hanging, "python", "read line; exit 0", flags=["-XX:+DisableAttachMechanism"]) as (process, pidfd):
        python = find_driver_of(process.pid)
        guard = HangGuard(process.pid, pidfd, 0.02)
        guard.begin(python, time.monotonic())
        process.stdin.close()
        assert said(guard) == "its JVM does not end"
        assert guard.facts()["python_exit_code"] == 0
        guard.close()
        python.close()


@pytest.mark.requirement("hang-1")
def test_another_spark_context_starts_it_anew(hanging):
    with jvm(hanging, "returns") as (process, pidfd):
        guard = HangGuard(process.pid, pidfd, 0.02)
        guard.begin(None, time.monotonic())
        guard.cease()
        assert (guard.deadline(), guard.sources()) == (None, {})
        assert guard.step(time.monotonic() + 1000) == ""
        guard.begin(None, time.monotonic())
        assert "pool-1-thread-1" in said(guard)
        guard.close()


@pytest.mark.requirement("hang-3")
def test_a_process_that_is_no_jvm_is_left_alone():
    with subprocess.Popen(["sleep", "1000"]) as process:
        pidfd = os.pidfd_open(process.pid)
        guard = HangGuard(process.pid, pidfd, 0.02)
        guard.begin(None, time.monotonic())
        assert said(guard) == ""
        assert process.poll() is None
        process.kill()
        os.close(pidfd)


@pytest.mark.requirement("hang-3")
def test_a_question_that_is_given_up_leaves_no_file(hanging):
    with jvm(hanging, "returns") as (process, pidfd):
        guard = HangGuard(process.pid, pidfd, 0.02)
        process.send_signal(signal.SIGSTOP)
        now = time.monotonic()
        guard.begin(None, now)
        guard.step(now + 0.01)
        assert os.path.exists(f"/tmp/.attach_pid{process.pid}")
        guard.cease()
        # It would print its threads on the application's output, were the file gone.
        assert os.path.exists(f"/tmp/.attach_pid{process.pid}")
        process.send_signal(signal.SIGCONT)
        guard.begin(None, time.monotonic())
        assert "pool-1-thread-1" in said(guard)
        process.kill()
        assert process.stdout.read() == b""
        process.wait()
        guard.close()
        assert not os.path.exists(f"/tmp/.attach_pid{process.pid}")
