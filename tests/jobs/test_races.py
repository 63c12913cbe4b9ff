"""A job's own exit, a stop and its deadline fall together: one terminal state, by rank, and for ever."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from programs.compiled import TINY, compiled
from programs.facts import environment

from raydp_wrap.errors import AlreadyDecidedError
from raydp_wrap.job import Capacity, ChangeKind, StopWish
from raydp_wrap.model import Cause, ExitRecord, Reason, Submission
from raydp_wrap.moment import Moment
from raydp_wrap.process import read_record
from raydp_wrap.request import Context, Phase, Request
from raydp_wrap.store import Store
from raydp_wrap.supervisor.machine import make
from raydp_wrap.supervisor.verdict import killed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from raydp_wrap.job import Job

AT_ONCE = 12
STOP = 0.008  # seconds, at most, until a stop is asked for once the job is seen to run
STEP = 1.1
LIMIT = 60.0

#: What another process reads of all jobs.
READ = """
import json, sys
from raydp_wrap.store import Store
with Store(sys.argv[1]) as store:
    for job in store.jobs.changed(0):
        row = job.phase.value, job.exit_code, job.signal, job.reason, job.attempt, job.succeeded, job.failed, job.seq
        print(json.dumps([job.submission_id, *row, repr(store.jobs.outcome(job.submission_id))]))
"""


def read_elsewhere(home: Path) -> dict[str, list[Any]]:
    done = subprocess.run(
        [sys.executable, "-c", READ, str(home)], stdout=subprocess.PIPE, check=True, timeout=LIMIT, env=environment()
    )
    return {row[0]: row[1:] for row in map(json.loads, done.stdout.splitlines())}


class Races:
    """Jobs that race, AT_ONCE of them at a time, under one supervisor."""

    def __init__(self, path: Path, seed: int) -> None:
        self.path = path
        self.store = Store(path)
        self.jobs = self.store.jobs
        self.chance = random.Random(seed)
        self.program = compiled("racer", *TINY)
        self.waiting: dict[str, asyncio.Event] = {}
        self.codes: dict[str, int] = {}
        self.told: list[str] = []
        # Seconds, at most, to the job's exit, and to its deadline. They follow how quick this machine is just now, so
        # that neither comes first all the time.
        self.exit = self.deadline = 0.03

    def changed(self, ids: set[str]) -> None:
        for one in ids & self.waiting.keys():
            self.waiting[one].set()

    async def phase(self, name: str, *, running: bool) -> Job:
        """Wait until it has ended; or RUNNING, if that comes first."""
        while True:
            self.waiting[name].clear()
            job = self.jobs.job(name)
            assert job is not None
            if job.phase.terminal or (running and job.phase is Phase.RUNNING):
                return job
            await asyncio.wait_for(self.waiting[name].wait(), LIMIT)

    async def race(self, name: str) -> None:
        chance, self.waiting[name] = self.chance, asyncio.Event()
        code = self.codes[name] = chance.choice((0, 1))
        argv = (self.program, str(int(chance.random() * self.exit * 1e6)), str(code))
        deadline = (0.003 + chance.random() * self.deadline) if chance.random() < 0.5 else None
        request = Request(argv, grace=5.0, active_deadline=deadline)
        self.jobs.submit(Submission(name, name, time.time()), request, Context(), Moment.now())
        self.supervisor.ring()
        stop = chance.random() < 0.7
        if stop:
            if chance.random() < 0.8:
                await self.phase(name, running=True)
            await asyncio.sleep(chance.random() * STOP)
            self.stop(name, chance.choice((None, 0.0)))
        job = await self.phase(name, running=False)
        del self.waiting[name]
        if stop:
            self.exit = min(1.0, self.exit * STEP) if job.phase is not Phase.KILLED else self.exit / STEP
        if deadline is not None:
            late = job.reason != Reason.DEADLINE_EXCEEDED.value
            self.deadline = self.deadline / STEP if late else min(1.0, self.deadline * STEP)

    def stop(self, name: str, grace: float | None) -> None:
        wish, job = StopWish(time.time(), os.getpid(), os.getuid(), "a race", grace), self.jobs.job(name)
        assert job is not None
        try:
            self.jobs.stop(name, wish, killed(job, wish, Moment.now()), Moment.now())
        except AlreadyDecidedError:
            return
        self.supervisor.ring()

    async def run(self, times: int) -> None:
        self.jobs.set_capacity(Capacity(4 * AT_ONCE, {"cpus": 1e6}))
        self.supervisor = make(self.store, self.path, self.told.append)
        self.supervisor.on_change = self.changed
        supervising = asyncio.ensure_future(self.supervisor.run())
        names = iter([f"race{number}" for number in range(times)])

        async def one_after_the_other() -> None:
            for name in names:
                await self.race(name)

        try:
            await asyncio.gather(*(one_after_the_other() for _ in range(AT_ONCE)))
        finally:
            supervising.cancel()
            await asyncio.gather(supervising, return_exceptions=True)

    # -- what came of it ----------------------------------------------------------------------

    def check(self) -> Counter[str]:
        """Compare each job with what its guard has written; how often what happened."""
        seen: Counter[str] = Counter()
        for name, code in self.codes.items():
            job = self.jobs.job(name)
            assert job is not None
            changes = self.jobs.changes(0, name)
            assert [change.kind for change in changes].count(ChangeKind.ENDED) == 1
            assert (job.exit_code == 0) == (job.phase is Phase.FINISHED), job
            assert (job.succeeded == 1) == (job.phase is Phase.FINISHED), job
            record = read_record(self.path / "jobs" / f"{name}.1" / "record") if job.attempt else None
            if record is None:
                assert (job.phase, job.attempt, job.stop is not None) == (Phase.KILLED, 0, True), job
                seen["stopped before the start"] += 1
                continue
            seen[self.check_record(job, record, code)] += 1
            if job.stop is not None and job.phase is not Phase.KILLED:
                seen["  of them with a stop that came too late"] += 1
        return seen

    def check_record(self, job: Job, record: ExitRecord, code: int) -> str:
        end = record.driver
        assert end is not None
        if record.cause is Cause.NONE:
            assert end.code == code, (job, record)
            assert job.phase is (Phase.FAILED if code else Phase.FINISHED), (job, record)
            assert job.exit_code == code, (job, record)
            return "its own exit"
        if record.cause is Cause.ACTIVE_DEADLINE:
            assert (job.phase, job.reason) == (Phase.FAILED, Reason.DEADLINE_EXCEEDED.value), (job, record)
            return "the deadline"
        assert record.cause is Cause.REQUEST, record
        assert job.stop is not None
        assert (job.phase, job.reason) == (Phase.KILLED, Reason.STOP_REQUESTED.value), (job, record)
        return "the stop"


def race(home: Path, times: int, seed: int) -> Counter[str]:
    races = Races(home, seed)
    try:
        asyncio.run(races.run(times))
        seen = races.check()
        before = read_elsewhere(home)
        assert len(before) == times
        # And for whoever supervises next there is nothing to do.
        asyncio.run(races.run(0))
        assert read_elsewhere(home) == before
    finally:
        races.store.close()
    return seen


@pytest.fixture
def place() -> Iterator[Path]:
    """In memory where that can be had: what a disk keeps is not in question here, and it is in the way."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="raydp-wrap-races-", dir=memory) as one:
        yield Path(one)


@pytest.mark.requirement("fault-9", "jobs-races")
def test_races(place: Path) -> None:
    seed = int.from_bytes(os.urandom(4), "big")
    seen = race(place, 60, seed)
    print(f"seed {seed}: {dict(seen)}")


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.requirement("fault-9", "jobs-races", "jobs-1.1-terminal-once")
def test_many_races(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """RAYDP_WRAP_TEST_RACES says how many, RAYDP_WRAP_TEST_SEED which."""
    times = int(os.environ.get("RAYDP_WRAP_TEST_RACES") or 1500)
    seed = int(os.environ.get("RAYDP_WRAP_TEST_SEED") or int.from_bytes(os.urandom(4), "big"))
    began = time.monotonic()
    seen = race(place, times, seed)
    with capsys.disabled():
        print(f"\n{times} races in {time.monotonic() - began:.0f} s, seed {seed}: {dict(seen)}")
    for what in ("its own exit", "the stop", "the deadline", "  of them with a stop that came too late"):
        assert seen[what] > times / 100, f"too few of {what!r} to show anything: {dict(seen)}"
