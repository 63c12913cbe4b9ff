"""The supervisor inside a program: as good as the one in the background, and no job depends on the program."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from programs.facts import environment, eventually, open_fds
from supervised import retired, supervisor_of

import raydp_wrap
from raydp_wrap.errors import StoreError, SupervisorGoneError
from raydp_wrap.model import TerminalState
from raydp_wrap.request import Phase
from raydp_wrap.supervisor.background import ensure
from raydp_wrap.supervisor.bell import Bell
from raydp_wrap.supervisor.embedded import Embedded
from raydp_wrap.supervisor.locks import LIFE, lock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.requirement("jobs-2.1-embedded")

PROGRAM = """
import os, sys, time, raydp_wrap
client = raydp_wrap.Client(embedded=True)
job = client.submit(["sh", "-c", f"echo ready; read x < {sys.argv[1]}/fifo; exit 6"], submission_id="it")
next(job.logs(follow=True))
if sys.argv[2] == "fork" and os.fork() == 0:
    time.sleep(1000)
print("up", flush=True)
sys.stdin.readline()
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    place = tmp_path / "home"
    place.mkdir(0o700)
    monkeypatch.setenv("RAYDP_WRAP_HOME", str(place))
    with retired(place):
        yield place


def test_it_supervises_and_hands_over_what_is_left(home: Path) -> None:
    os.mkfifo(home / "fifo")
    before = threading.active_count()
    with raydp_wrap.Client(home, embedded=True) as client:
        assert supervisor_of(home) == os.getpid()
        assert client.submit(["true"]).wait(30).state is TerminalState.FINISHED
        job = client.submit(["sh", "-c", f"read x < {home}/fifo; exit 6"])
        eventually(lambda: job.phase is Phase.RUNNING, "it runs")
    assert threading.active_count() == before
    assert supervisor_of(home) != os.getpid()
    (home / "fifo").write_text("\n")
    assert job.wait(30).exit_code == 6
    assert job.status().attempt == 1
    job._access.close()


def test_nothing_is_left_of_it_when_nothing_was_to_be_done(home: Path) -> None:
    with raydp_wrap.Client(home, embedded=True) as client:
        client.submit(["true"]).wait(30)
    with pytest.raises(SupervisorGoneError):
        Bell.connect(home)
    os.close(lock(home, LIFE, 0))
    before = open_fds()
    one = Embedded(home)
    one.close()
    one.close()
    assert open_fds() == before


@pytest.mark.requirement("jobs-2.1-singleton")
def test_whoever_is_there_already_does_it(home: Path) -> None:
    with Embedded(home) as first, Embedded(home) as second:
        assert (first.supervising, second.supervising) == (True, False)
        with ensure(home) as bell:
            assert bell.pid == os.getpid()
    ensure(home).close()
    with Embedded(home) as third:
        assert not third.supervising


def test_what_it_can_t_do_is_raised_where_it_is_made(home: Path) -> None:
    (home / "store.db").write_bytes(b"garbage" * 1000)
    with pytest.raises(StoreError, match="damaged"):
        Embedded(home)
    os.close(lock(home, LIFE, 0))


def test_asked_to_leave_it_leaves_and_its_clients_go_on(home: Path) -> None:
    with raydp_wrap.Client(home, embedded=True) as client:
        with Bell.connect(home) as bell:
            bell.leave()
            with pytest.raises(SupervisorGoneError):
                bell.wait(30)
        assert client.submit(["true"]).wait(30).state is TerminalState.FINISHED
        assert supervisor_of(home) != os.getpid()


def test_an_older_one_makes_way(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raydp_wrap, "__version__", "0.0.9")
    with Embedded(home) as old:
        monkeypatch.undo()
        monkeypatch.setenv("RAYDP_WRAP_HOME", str(home))
        with Embedded(home) as new:
            assert new.supervising
            eventually(lambda: not old.supervising, "the older one ends")
            with Bell.connect(home) as bell:
                assert bell.version == raydp_wrap.__version__


def test_beside_an_event_loop(home: Path) -> None:
    async def scenario() -> None:
        with raydp_wrap.Client(home, embedded=True) as client:
            jobs = [client.submit(["sh", "-c", f"exit {number}"]) for number in range(5)]
            assert [(await job).exit_code for job in jobs] == list(range(5))

    asyncio.run(asyncio.wait_for(scenario(), 60))


@pytest.mark.parametrize("how", ["exit", "kill", "fork"])
def test_its_program_may_end_as_it_likes(home: Path, how: str) -> None:
    os.mkfifo(home / "fifo")
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(home), how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(),
        start_new_session=True,
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == b"up\n"
        if how == "exit":
            program.communicate(b"\n", timeout=30)
            assert program.returncode == 0
            assert supervisor_of(home) != program.pid  # which was started because there was something left
        else:
            program.kill()
            program.wait(30)
    with raydp_wrap.Client(home) as client:
        job = client.job("it")
        with ensure(home) as bell:  # a forked child that lives on holds nothing of it
            assert bell.pid != program.pid
        # It was killed with the job begun, maybe before it could write down that it runs.
        eventually(lambda: job.phase is Phase.RUNNING, "it runs")
        (home / "fifo").write_text("\n")
        assert job.wait(30).exit_code == 6
        assert job.status().attempt == 1
    if how == "fork":
        os.killpg(program.pid, signal.SIGKILL)
