"""A run in the foreground, as Python calls it. What a user sees of it is in tests/cli."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest
from programs.wrapping import reap_orphans

from raydp_wrap.errors import (
    CommandNotExecutableError,
    CommandNotFoundError,
    GuardLostError,
    RaydpWrapError,
    StartError,
    UsageError,
    WaitTimeoutError,
)
from raydp_wrap.foreground import Policy, run
from raydp_wrap.model import Cause, Launch, Reason, TerminalState
from raydp_wrap.ownership import delivery_command, new_submission_id
from raydp_wrap.process import Guard

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RAYDP_WRAP_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


def sh(script: str) -> Launch:
    return Launch(("sh", "-c", script))


def test_ids_are_unique_and_sort_by_time() -> None:
    ids = [new_submission_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert sorted(name[:15] for name in ids) == [name[:15] for name in ids]
    assert all(len(name) < 95 and "/" not in name for name in ids)


@pytest.mark.requirement("run-3.2")
def test_it_runs_and_leaves_signals_descriptors_and_state_as_they_were(state: Path) -> None:
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    fds = os.listdir("/proc/self/fd")
    outcome = run(sh("exit 5"), Policy(name="n"))
    assert (outcome.state, outcome.exit_code, outcome.name) == (TerminalState.FAILED, 5, "n")
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == mask
    assert os.listdir("/proc/self/fd") == fds
    assert os.listdir(state / "run") == []


@pytest.mark.requirement("run-3.2")
def test_a_stop_that_comes_as_the_job_ends_is_not_kept_for_our_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    wait = Guard.wait
    came: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: came.append(number))

    def late(self: Guard) -> object:
        found = wait(self)
        os.kill(os.getpid(), signal.SIGTERM)
        return found

    monkeypatch.setattr(Guard, "wait", late)
    try:
        assert run(sh("exit 0"), Policy()).state is TerminalState.FINISHED
    finally:
        signal.signal(signal.SIGTERM, before)
    assert came == []


@pytest.mark.requirement("run-3.3")
@pytest.mark.parametrize(
    ("error", "status", "word"),
    [
        (CommandNotFoundError(errno.ENOENT, "x: command not found", "x"), 127, "not found"),
        (GuardLostError("the guard ended before it told whether the command was started."), 125, "guard"),
        (OSError(errno.EMFILE, os.strerror(errno.EMFILE)), 125, "Too many open files"),
    ],
)
def test_whatever_kept_it_from_starting_is_reported(
    tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, word: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(Guard, "start", fail)
    outcome = run(sh("exit 0"), Policy(sinks=(f"file:{tmp_path / 'report'}",)))
    assert (outcome.state, outcome.reason, outcome.exit_code) == (
        TerminalState.FAILED,
        Reason.JOB_LOST if isinstance(error, GuardLostError) else Reason.SUBMISSION_FAILED,
        status,
    )
    assert word in outcome.diagnostics
    assert json.loads((tmp_path / "report").read_text())["exit_code"] == status
    assert os.listdir(state / "run") == []


@pytest.mark.requirement("run-3.4")
def test_a_request_that_makes_no_sense_starts_nothing_and_is_told(tmp_path: Path, state: Path) -> None:
    with pytest.raises(UsageError, match="NUL"):
        run(Launch(("sh", "-c", "a\0b")), Policy(sinks=(f"file:{tmp_path / 'report'}",)))
    with pytest.raises(UsageError, match="NUL"):
        run(Launch(("true",), env={"A": "b\0c", "PATH": os.environ["PATH"]}), Policy())
    with pytest.raises(UsageError, match="environment"):
        run(Launch(("true",), env={"A=B": "c", "PATH": os.environ["PATH"]}), Policy())
    told = json.loads((tmp_path / "report").read_text())
    assert (told["state"], told["reason"], told["exit_code"]) == ("FAILED", "ValidationFailed", 125)
    assert sorted(os.listdir(tmp_path)) == ["report", "state"]
    assert os.listdir(state / "run") == []


@pytest.mark.requirement("run-3.3")
def test_what_cannot_be_reported_is_told(tmp_path: Path) -> None:
    said: list[str] = []
    there = tmp_path / "there"
    there.mkdir()
    run(sh(f"rm -r {there}"), Policy(sinks=(f"file:{there / 'report'}",), report_timeout=0.5), said.append)
    (sentence,) = said
    assert "FINISHED" in sentence


def test_without_a_face_it_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    there = tmp_path / "there"
    there.mkdir()
    run(sh(f"rm -r {there}"), Policy(sinks=(f"file:{there / 'report'}",), report_timeout=0.5))
    assert "FINISHED" in caplog.text


@pytest.mark.requirement("guard-2.2")
def test_the_delivery_is_this_very_package(tmp_path: Path) -> None:
    command = delivery_command(tmp_path)
    assert command[:3] == [sys.executable, "-I", "-c"]
    assert repr(sys.path) in command[3]
    assert command[-1] == str(tmp_path)


@pytest.mark.requirement("run-3.1")
def test_guards_are_awaited_side_by_side() -> None:
    async def main() -> list[int | None]:
        release, hold = os.pipe()
        first = Guard.start(sh("read wait; exit 1"), stdin=release)
        second = Guard.start(sh("exit 2"))
        os.close(release)
        with first, second:
            waiting = asyncio.ensure_future(first.wait_async())
            ended = await second
            assert not waiting.done()
            os.close(hold)
            records = [await waiting, ended, await first]
        return [record.driver.code if record.driver else None for record in records]

    assert asyncio.run(main()) == [1, 2, 1]


@pytest.mark.requirement("run-3.1")
def test_an_await_that_is_cancelled_leaves_the_job_alone() -> None:
    async def main() -> int | None:
        release, hold = os.pipe()
        with Guard.start(sh("read wait; exit 3"), stdin=release) as guard:
            os.close(release)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(guard.wait_async(), 0.05)
            with pytest.raises(WaitTimeoutError):
                guard.wait(0)
            os.close(hold)
            record = await guard
        return record.driver.code if record.driver else None

    assert asyncio.run(main()) == 3


@pytest.mark.requirement("run-3.1", "guard-2.6")
def test_an_awaited_guard_that_is_killed_tells_of_it() -> None:
    async def main() -> Cause:
        with Guard.start(sh("exec sleep 60")) as guard:
            os.kill(guard.guard_pid, signal.SIGKILL)
            return (await guard).cause

    assert asyncio.run(main()) is Cause.GUARD_LOST
    reap_orphans()


@pytest.mark.requirement("run-3.1")
def test_what_a_guard_raises_is_in_the_tree(tmp_path: Path) -> None:
    not_executable = tmp_path / "file"
    not_executable.write_text("no program")
    for launch, kind in (
        (Launch(("no-such-command-at-all",)), CommandNotFoundError),
        (Launch((str(not_executable),)), CommandNotExecutableError),
        (Launch(("true",), cwd="/no/such/directory"), StartError),
        (Launch(()), UsageError),
    ):
        with pytest.raises(kind) as caught:
            Guard.start(launch)
        assert isinstance(caught.value, RaydpWrapError)
    with pytest.raises(GuardLostError):
        Guard.connect(tmp_path / "nobody")
