"""The supervisor is killed again and again while jobs run: each runs once, and ends with its own exit code."""

from __future__ import annotations

import os
import random
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from raydp_wrap.model import Submission
from raydp_wrap.moment import Moment
from raydp_wrap.request import Context, Phase, Request, RetryPolicy
from raydp_wrap.store import Store

PROGRAM = Path(__file__).parent.parent / "programs" / "supervisors.py"
RUNNING = 20
LIMIT = 120.0

LONG = 'echo $$ >>"$1/$RAYDP_WRAP_SUBMISSION_ID.$RAYDP_WRAP_ATTEMPT"; read line <"$1/fifo"; exit $2'
SHORT = 'echo $$ >>"$1/$RAYDP_WRAP_SUBMISSION_ID.$RAYDP_WRAP_ATTEMPT"; exit $2'


class Supervisors:
    """The program that has them, and the one that lives."""

    def __init__(self, home: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, PROGRAM, home],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )

    def ask(self, what: str) -> int:
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def live_for(self, seconds: float) -> None:
        """Let it live: it tells nobody when it is where it hurts most."""
        select.select([], [], [], seconds)


def submit(store: Store, name: str, script: str, where: Path, code: int, retries: int = 0) -> None:
    request = Request(
        ("sh", "-c", script, "sh", str(where), str(code)), retry=RetryPolicy(retries, 0.01), attempt_deadline=600.0
    )
    store.jobs.submit(Submission(name, name, time.time()), request, Context(dict(os.environ)), Moment.now())


def wait_for(condition, what) -> None:
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, what()
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.requirement("jobs-2.2-adopted", "jobs-2.2-kills", "fault-3")
def test_supervisors_that_are_killed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    """RAYDP_WRAP_TEST_KILLS says how often."""
    kills = int(os.environ.get("RAYDP_WRAP_TEST_KILLS") or 300)
    seed = int(os.environ.get("RAYDP_WRAP_TEST_SEED") or int.from_bytes(os.urandom(4), "big"))
    chance = random.Random(seed)
    home, where = tmp_path / "home", tmp_path / "started"
    home.mkdir(mode=0o700)
    where.mkdir()
    os.mkfifo(where / "fifo")
    fifo = os.open(where / "fifo", os.O_RDWR)
    supervisors = Supervisors(home)
    request.addfinalizer(supervisors.process.kill)
    expected: dict[str, tuple[int, int]] = {}  # exit code, attempts
    with capsys.disabled(), Store(home) as store:
        print(f"\n{kills} kills, seed {seed}")
        for number in range(RUNNING):
            expected[f"long{number}"] = number % 5, 1
            submit(store, f"long{number}", LONG, where, number % 5)
        for kill in range(kills):
            supervisors.ask("start")
            code, retries = chance.choice((0, 0, 1, 7)), chance.choice((0, 0, 2))
            expected[f"short{kill}"] = code, retries + 1 if code else 1
            submit(store, f"short{kill}", SHORT, where, code, retries)
            supervisors.live_for(chance.random() * 0.06)
            supervisors.ask("kill")
        supervisors.ask("start")
        wait_for(
            lambda: all(store.jobs.job(f"long{n}").phase is Phase.RUNNING for n in range(RUNNING)),
            lambda: [store.jobs.job(f"long{n}").phase for n in range(RUNNING)],
        )
        os.write(fifo, b"go\n" * RUNNING)
        wait_for(lambda: not store.jobs.unfinished(), lambda: store.jobs.unfinished()[:3])
        supervisors.ask("leave")
        supervisors.process.stdin.close()
        assert supervisors.process.wait(LIMIT) == 0
        supervisors.process.stdout.close()
        os.close(fifo)
        for name, (code, attempts) in expected.items():
            job = store.jobs.job(name)
            ended, phase = store.outcome(name), Phase.FINISHED if code == 0 else Phase.FAILED
            seen = f"{ended.diagnostics} {ended.evidence} {store.jobs.changes(0, name)}"
            assert (job.phase, job.exit_code) == (phase, code), seen
            assert (job.attempt, job.failed) == (attempts, attempts if code else 0), job
            for attempt in range(1, attempts + 1):
                started = (where / f"{name}.{attempt}").read_text(encoding="ascii").split()
                assert len(started) == 1, f"attempt {attempt} of {name} was started {len(started)} times"
