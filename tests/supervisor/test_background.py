"""The background supervisor: one for a home, there when it is needed, gone when it is not."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from programs.facts import environment, eventually, open_fds
from supervised import end, reap, retired, supervisor_of

import raydp_wrap
from raydp_wrap.errors import SupervisorError, SupervisorGoneError
from raydp_wrap.request import Phase
from raydp_wrap.supervisor.background import LOG, ensure
from raydp_wrap.supervisor.bell import Bell
from raydp_wrap.supervisor.locks import GATE, LIFE, lock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SINGLE = pytest.mark.requirement("jobs-2.1-singleton", "fault-10")
DEMAND = pytest.mark.requirement("jobs-2.1-on-demand")
IDLE = pytest.mark.requirement("jobs-2.1-idle")

ENSURE = """
import sys
from pathlib import Path
from raydp_wrap.supervisor.background import ensure
sys.stdin.readline()
with ensure(Path(sys.argv[1])) as bell:
    print(bell.pid, flush=True)
    sys.stdin.readline()
"""
OLD = """
import sys
from pathlib import Path
import raydp_wrap
raydp_wrap.__version__ = "0.0.9"
from raydp_wrap.supervisor.background import in_foreground
in_foreground(Path(sys.argv[1]))
"""

HUNG = """
import asyncio, sys, threading
from pathlib import Path
from raydp_wrap.supervisor import background, machine
from raydp_wrap.supervisor.loop import Supervisor
class Hung(Supervisor):
    async def run(self):
        asyncio.ensure_future(asyncio.to_thread(threading.Event().wait))
        await super().run()
make = machine.make
def hung(*args):
    made = make(*args)
    made.__class__ = Hung
    return made
machine.make = hung
background.in_foreground(Path(sys.argv[1]))
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    place = tmp_path / "home"
    place.mkdir(0o700)
    monkeypatch.setenv("RAYDP_WRAP_HOME", str(place))
    with retired(place):
        yield place


def python(program: str, home: Path, **more: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", program, str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(),
        **more,  # type: ignore[call-overload]
    )


def line(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None
    return process.stdout.readline()


def go_on(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.flush()


@SINGLE
def test_many_start_it_at_once_and_one_wins(home: Path) -> None:
    with contextlib.ExitStack() as stack:
        starters = [stack.enter_context(python(ENSURE, home)) for _ in range(6)]
        for one in starters:
            go_on(one)
        pids = {int(line(one)) for one in starters}
        assert pids == {supervisor_of(home)}
        for one in starters:
            go_on(one)
            assert one.wait(30) == 0
    with pytest.raises(SupervisorError, match="another process holds"):
        lock(home, LIFE, 0)


@SINGLE
def test_threads_too(home: Path) -> None:
    before = open_fds()
    with ThreadPoolExecutor(8) as pool:
        bells = list(pool.map(lambda _: ensure(home), range(8)))
    assert len({bell.pid for bell in bells}) == 1
    for bell in bells:
        bell.close()
    assert open_fds() == before


@SINGLE
def test_one_in_the_foreground_stays_and_refuses_to_be_the_second(home: Path) -> None:
    command = [sys.executable, "-m", "raydp_wrap.supervisor"]
    with subprocess.Popen(command, env=environment(RAYDP_WRAP_LINGER="1ms"), stderr=subprocess.PIPE) as first:
        eventually((home / "supervisor.sock").exists, "it listens")
        for _ in range(2):
            with ensure(home) as bell:
                assert bell.pid == first.pid
        second = subprocess.run(command, env=environment(), stderr=subprocess.PIPE, timeout=60, check=False)
        assert (second.returncode, first.poll()) == (1, None)
        assert f"already, with pid {first.pid}" in second.stderr.decode()
        first.terminate()
        assert first.communicate(timeout=30)[1] == b""
        assert first.returncode == 0


@SINGLE
def test_who_waits_for_a_lock_may_have_it_when_it_is_free(home: Path) -> None:
    held = lock(home, GATE, 0)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lock, home, GATE, 30)
        os.close(held)
        os.close(waiting.result(30))
    held = lock(home, GATE, 0)
    with pytest.raises(SupervisorError):
        lock(home, GATE, 0.01)
    os.close(held)
    os.close(lock(home, GATE, 30))  # who gave up has not taken it since


@DEMAND
def test_it_has_nothing_of_its_starter(home: Path) -> None:
    with python(ENSURE, home, start_new_session=True, cwd=home) as starter:
        go_on(starter)
        pid = int(line(starter))
        os.killpg(starter.pid, signal.SIGHUP)  # as a terminal that is closed does
        starter.wait(30)
    with Bell.connect(home) as bell:
        assert bell.pid == pid
        assert os.readlink(f"/proc/{pid}/cwd") == "/"
        assert os.getsid(pid) not in (os.getsid(0), starter.pid)
        assert os.getsid(pid) != pid  # no terminal can become its own
        assert os.readlink(f"/proc/{pid}/fd/0") == os.devnull
        assert {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in (1, 2)} == {str(home / LOG)}
        soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        assert soft == hard
    for name in (LOG, LIFE, GATE, "supervisor.sock"):
        assert stat.S_IMODE((home / name).stat().st_mode) == 0o600


@DEMAND
def test_its_starter_has_nothing_to_reap(home: Path) -> None:
    program = (
        ENSURE + "import os\ntry: os.waitpid(-1, os.WNOHANG)\nexcept ChildProcessError: print('none', flush=True)\n"
    )
    with python(program, home) as starter:
        go_on(starter)
        line(starter)
        go_on(starter)
        assert line(starter) == b"none\n"


@DEMAND
def test_what_it_can_t_do_is_told_to_who_started_it_and_to_the_log(home: Path) -> None:
    (home / "store.db").write_bytes(b"garbage" * 1000)
    with pytest.raises(SupervisorError, match=r"can't be started: the store .* is damaged") as raised:
        ensure(home)
    assert str(raised.value).partition("started: ")[2] in (home / LOG).read_text()
    with pytest.raises(SupervisorGoneError):
        Bell.connect(home)
    os.close(lock(home, LIFE, 30))  # neither lock is left behind
    os.close(lock(home, GATE, 0))


@DEMAND
def test_one_that_dies_at_its_start_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", ["/nonexistent"])
    with pytest.raises(SupervisorError, match=r"see .*supervisor\.log"):
        ensure(home)
    assert "ModuleNotFoundError" in (home / LOG).read_text()


@DEMAND
def test_a_long_log_is_put_aside(home: Path) -> None:
    (home / LOG).write_bytes(b"x" * (2 << 20))
    ensure(home).close()
    assert (home / LOG).stat().st_size < 1 << 20
    assert (home / f"{LOG}.1").stat().st_size == 2 << 20


@DEMAND
def test_started_from_inside_a_job_it_won_t_last_and_that_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    ensure(home, tell=told.append).close()
    end(home)
    assert told == []
    monkeypatch.setenv("RAYDP_WRAP_ATTEMPT_ID", "of-a-job")
    for _ in range(2):  # once: the second finds it
        ensure(home, tell=told.append).close()
    assert len(told) == 1
    assert "from inside a job" in told[0]


@DEMAND
def test_its_starter_may_die_in_between(home: Path) -> None:
    with python(ENSURE, home) as starter:
        go_on(starter)
        eventually(lambda: (home / GATE).exists() and (home / LOG).exists(), "it starts one")
        starter.kill()
    with ensure(home) as bell:
        assert bell.pid == supervisor_of(home)


@IDLE
def test_gone_when_there_is_nothing_to_do_and_nobody_there(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYDP_WRAP_LINGER", "1ms")
    with raydp_wrap.Client(home) as client:
        job = client.submit(["sleep", "1000"])
        pid = supervisor_of(home)
        eventually(lambda: job.phase is Phase.RUNNING, "it runs")
        assert supervisor_of(home) == pid  # it has something to do
        with Bell.connect(home) as bell:
            job.stop(grace=0)
            assert job.wait(30).state.value == "KILLED"
            bell.ring()
            assert not bell.read()  # somebody is there
        reap(pid)
        assert not (home / "supervisor.sock").exists()
        # And whoever needs one again gets one, however close to the other's end.
        for _ in range(10):
            assert client.submit(["true"]).wait(30).state.value == "FINISHED"


@IDLE
@pytest.mark.parametrize(
    "number",
    [
        signal.SIGTERM,
        signal.SIGKILL,
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, marks=pytest.mark.slow),
    ],
)
def test_asked_to_go_it_goes_and_what_runs_goes_on(home: Path, number: int) -> None:
    os.mkfifo(home / "fifo")
    with raydp_wrap.Client(home) as client:
        job = client.submit(["sh", "-c", f"read x < {home}/fifo; exit 6"])
        eventually(lambda: job.phase is Phase.RUNNING, "it runs")
        before = end(home, number)
        (home / "fifo").write_text("\n")
        assert job.wait(30).exit_code == 6
        assert supervisor_of(home) != before
        assert job.status().attempt == 1


@DEMAND
def test_an_older_one_is_replaced_and_what_runs_is_adopted(home: Path) -> None:
    os.mkfifo(home / "fifo")
    with python(OLD, home) as old:
        eventually((home / "supervisor.sock").exists, "it listens")
        with Bell.connect(home) as bell:
            assert (bell.version, bell.pid) == ("0.0.9", old.pid)
            with raydp_wrap.Client(home) as client:
                status = client._access.jobs
                job = client.submit(["sh", "-c", f"read x < {home}/fifo; exit 6"])
                assert supervisor_of(home) != old.pid
                with pytest.raises(SupervisorGoneError):
                    bell.wait(30)
                (home / "fifo").write_text("\n")
                assert job.wait(30).exit_code == 6
                assert len(status.history(job.id)) == 1
        assert old.wait(30) == 0


@SINGLE
def test_one_that_hangs_at_its_end_holds_up_nobody(home: Path) -> None:
    with python(HUNG, home) as first:
        eventually((home / "supervisor.sock").exists, "it listens")
        with Bell.connect(home) as bell:
            bell.watch(["a"])
            assert bell.wait(30)  # its loop runs
            first.terminate()
            with pytest.raises(SupervisorGoneError):
                bell.wait(30)
        with ensure(home) as bell:
            assert bell.pid != first.pid
        assert first.poll() is None
        first.kill()
