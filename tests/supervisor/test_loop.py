"""The supervisor on real processes: a real store, real guards, and what is left of them."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
import time
from itertools import pairwise

import pytest

from raydp_wrap.errors import AlreadyDecidedError, StartError, StoreGoneError
from raydp_wrap.job import Capacity, ChangeKind, StopWish
from raydp_wrap.local import LocalBackend
from raydp_wrap.model import Reason, Submission
from raydp_wrap.moment import Moment
from raydp_wrap.request import (
    Condition,
    Context,
    Dependency,
    FailureRule,
    Phase,
    Preparation,
    Request,
    RetryPolicy,
    RuleAction,
)
from raydp_wrap.store import Store
from raydp_wrap.store.jobs import StoreJobs
from raydp_wrap.supervisor import queueing
from raydp_wrap.supervisor.machine import make
from raydp_wrap.supervisor.verdict import killed

LIMIT = 60.0


async def until(condition, says=str) -> None:
    """Wait until CONDITION holds."""
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, says()
        await asyncio.sleep(0.005)


class Home:
    """A home with a store, and what a client does to it."""

    def __init__(self, path) -> None:
        self.path = path
        self.store = Store(path)
        self.jobs = self.store.jobs
        self.told: list[str] = []
        self.supervisor = None

    @contextlib.asynccontextmanager
    async def supervised(self):
        """With a supervisor at work, which is gone afterwards; what runs goes on."""
        self.supervisor = make(self.store, self.path, self.told.append)
        task = asyncio.ensure_future(self.supervisor.run())
        try:
            yield self.supervisor
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def submit(self, name, *argv, environ=None, umask=None, nofile=None, sinks=(), **request):
        context = Context({**os.environ, **(environ or {})}, umask, nofile)
        submission = Submission(name, name, time.time(), sinks)
        job, _ = self.jobs.submit(submission, Request(argv, sinks=sinks, **request), context, Moment.now())
        self.ring()
        return job

    def ring(self) -> None:
        if self.supervisor is not None:
            self.supervisor.ring()

    def stop(self, name, grace=None, label="a test"):
        wish = StopWish(time.time(), os.getpid(), os.getuid(), label, grace)
        job = self.jobs.stop(name, wish, killed(self.jobs.job(name), wish, Moment.now()), Moment.now())
        self.ring()
        return job

    async def until(self, name, *phases):
        """Wait for the change that brings one of PHASES (terminal ones, if none are named)."""
        wanted = phases or [phase for phase in Phase if phase.terminal]
        await until(lambda: self.jobs.job(name).phase in wanted, lambda: f"{name}: {self.jobs.job(name)} {self.told}")
        return self.jobs.job(name)

    def output(self, name, number=1) -> str:
        return (self.path / "jobs" / f"{name}.{number}" / "output").read_text(encoding="utf-8")

    def kinds(self, name):
        return [change.kind for change in self.jobs.changes(0, name)]


@pytest.fixture
def home(tmp_path):
    (tmp_path / "home").mkdir(mode=0o700)
    one = Home(tmp_path / "home")
    yield one
    one.store.close()


def test_how_it_ended(home) -> None:
    async def main() -> None:
        async with home.supervised():
            home.submit("good", "/bin/true")
            home.submit("bad", "sh", "-c", "echo it went wrong >&2; exit 3")
            home.submit("missing", "/nonexistent")
            home.submit("shell", "exit $((40 + 2))", shell=True)
            ends = [await home.until(name) for name in ("good", "bad", "missing", "shell")]
        assert [(job.phase, job.exit_code) for job in ends] == [
            (Phase.FINISHED, 0),
            (Phase.FAILED, 3),
            (Phase.FAILED, 127),
            (Phase.FAILED, 42),
        ]
        assert "it went wrong" in home.store.outcome("bad").diagnostics
        assert home.kinds("good") == [ChangeKind.SUBMITTED, ChangeKind.BEGUN, ChangeKind.STARTED, ChangeKind.ENDED]

    asyncio.run(main())


@pytest.mark.requirement("jobs-1.2-retry", "retry-rule-4", "retry-rule-5")
def test_attempts_come_one_after_the_other(home) -> None:
    """Each sees its number, and nothing of the one before is left when it begins."""
    script = (
        'echo "$RAYDP_WRAP_SUBMISSION_ID $RAYDP_WRAP_ATTEMPT"; mkdir "$1" || exit 9; sleep 30 & '
        'trap "rmdir $1" EXIT; test $RAYDP_WRAP_ATTEMPT = 3'
    )

    async def main() -> None:
        async with home.supervised():
            home.submit(
                "again", "sh", "-c", script, "sh", str(home.path / "only-one"), retry=RetryPolicy(5, backoff_first=0.01)
            )
            job = await home.until("again")
        assert (job.phase, job.attempt, job.succeeded, job.failed) == (Phase.FINISHED, 3, 1, 2)
        assert [home.output("again", number).strip() for number in (1, 2, 3)] == ["again 1", "again 2", "again 3"]
        assert home.store.outcome("again").attempt == 3
        ends = [outcome.exit_code for _, outcome in home.jobs.history("again")]
        assert ends == [1, 1, 0]

    asyncio.run(main())


@pytest.mark.requirement("jobs-1.2-retry")
def test_a_rule_ends_it_at_once(home) -> None:
    async def main() -> None:
        policy = RetryPolicy(5, backoff_first=0.01, rules=(FailureRule(RuleAction.FAIL, exit_codes=(52,)),))
        async with home.supervised():
            home.submit("final", "sh", "-c", "exit 52", retry=policy)
            job = await home.until("final")
        assert (job.phase, job.attempt, job.failed, job.exit_code) == (Phase.FAILED, 1, 1, 52)

    asyncio.run(main())


@pytest.mark.requirement("jobs-1.3-deadlines", "retry-rule-3", "retry-rule-12")
def test_deadlines(home) -> None:
    async def main() -> None:
        async with home.supervised():
            home.submit("whole", "sleep", "100", active_deadline=0.2, retry=RetryPolicy(3, backoff_first=0.01))
            home.submit("one", "sleep", "100", attempt_deadline=0.2, active_deadline=50, retry=RetryPolicy(3))
            home.submit("between", "false", active_deadline=0.3, retry=RetryPolicy(3, backoff_first=100))
            whole, one, between = [await home.until(name) for name in ("whole", "one", "between")]
        assert (whole.reason, whole.attempt) == (Reason.DEADLINE_EXCEEDED.value, 1)
        assert (one.reason, one.attempt) == (Reason.ATTEMPT_DEADLINE_EXCEEDED.value, 1)
        assert (between.reason, between.attempt, between.failed) == (Reason.DEADLINE_EXCEEDED.value, 1, 1)

    asyncio.run(main())


@pytest.mark.requirement("jobs-1.3-deadlines")
def test_a_deadline_holds_while_nobody_supervises(home) -> None:
    async def main() -> None:
        async with home.supervised():
            home.submit("late", "sleep", "100", active_deadline=0.5)
            job = await home.until("late", Phase.RUNNING)
        record = home.path / "jobs" / "late.1" / "record"
        await until(record.exists)
        assert home.jobs.job("late").phase is Phase.RUNNING
        async with home.supervised():
            job = await home.until("late")
        assert (job.phase, job.reason) == (Phase.FAILED, Reason.DEADLINE_EXCEEDED.value)

    asyncio.run(main())


@pytest.mark.requirement("jobs-1.3-start-timeout")
def test_who_can_not_start_in_time_fails(home) -> None:
    async def main() -> None:
        async with home.supervised():
            home.submit("first", "sleep", "100", cpus=1.0, slots={})
            await home.until("first", Phase.RUNNING)
            home.submit("second", "true", cpus=float(os.cpu_count() or 1), start_timeout=0.2)
            second = await home.until("second")
            home.stop("first")
            await home.until("first")
        assert (second.phase, second.reason, second.attempt) == (Phase.FAILED, Reason.START_TIMEOUT.value, 0)

    asyncio.run(main())


@pytest.mark.requirement("jobs-1.4-stop")
def test_a_stop(home) -> None:
    async def main() -> None:
        async with home.supervised():
            home.submit("polite", "sh", "-c", "trap 'exit 5' TERM; echo up; while :; do sleep 0.01; done")
            home.submit("deaf", "sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.01; done", grace=100.0)
            home.submit("own", "sh", "-c", "trap 'exit 6' USR1; echo up; while :; do sleep 0.01; done", stop_signal=10)
            for name in ("polite", "deaf", "own"):
                await home.until(name, Phase.RUNNING)
                await until(lambda name=name: "up" in home.output(name))
            home.stop("polite")
            home.stop("own")
            home.stop("deaf")
            home.stop("deaf", grace=0.0, label="somebody in a hurry")
            polite, deaf, own = [await home.until(name) for name in ("polite", "deaf", "own")]
        assert (polite.phase, polite.exit_code) == (Phase.KILLED, 5)
        assert (deaf.phase, deaf.signal) == (Phase.KILLED, 9)
        assert (own.phase, own.exit_code) == (Phase.KILLED, 6)
        assert "a stop was asked for by a test" in home.store.outcome("deaf").diagnostics

    asyncio.run(main())


@pytest.mark.requirement("jobs-1.4-stop-before-start")
def test_a_stop_before_the_start(home) -> None:
    """Nobody supervises: it is terminal at once, and never runs."""

    async def main() -> None:
        marker = home.path / "ran"
        home.submit("never", "touch", str(marker))
        job = home.stop("never")
        assert job.phase is Phase.KILLED
        with pytest.raises(AlreadyDecidedError):
            home.stop("never")
        async with home.supervised() as supervisor:
            await supervisor.until_idle()
        assert not marker.exists()
        assert home.jobs.job("never").attempt == 0

    asyncio.run(main())


@pytest.mark.requirement("jobs-1.4-suspend", "retry-rule-13")
def test_suspend_and_resume(home) -> None:
    """A new attempt of the same submission, at its old place; the ended one counts as no failure."""

    async def main() -> None:
        async with home.supervised():
            first = home.submit("paused", "sh", "-c", "test $RAYDP_WRAP_ATTEMPT = 2 || sleep 100")
            await home.until("paused", Phase.RUNNING)
            home.jobs.suspend("paused", "a test", Moment.now())
            home.ring()
            job = await home.until("paused", Phase.SUSPENDED)
            assert (job.failed, job.suspended, job.attempt, job.active) == (0, 1, 1, False)
            home.jobs.resume("paused", "a test", Moment.now())
            home.ring()
            job = await home.until("paused")
        assert (job.phase, job.attempt, job.failed, job.succeeded, job.place) == (
            Phase.FINISHED, 2, 0, 1, first.place,
        )  # fmt: skip

    asyncio.run(main())


@pytest.mark.requirement("jobs-1.6-after")
def test_one_after_the_other(home) -> None:
    async def main() -> None:
        log = home.path / "log"
        async with home.supervised():
            home.submit("a", "sh", "-c", f"sleep 0.1; echo a >>{log}")
            home.submit("b", "sh", "-c", f"echo b >>{log}; exit 1", after=(Dependency("a"),))
            home.submit("c", "sh", "-c", f"echo c >>{log}", after=(Dependency("b", Condition.ANY),))
            home.submit("d", "sh", "-c", f"echo d >>{log}", after=(Dependency("b"),))
            home.submit("e", "sh", "-c", f"echo e >>{log}", after=(Dependency("d"),))
            ends = {name: (await home.until(name)).phase for name in "abcde"}
        assert ends == {
            "a": Phase.FINISHED,
            "b": Phase.FAILED,
            "c": Phase.FINISHED,
            "d": Phase.FAILED,
            "e": Phase.FAILED,
        }
        assert log.read_text(encoding="utf-8").split() == ["a", "b", "c"]
        assert "it was to come after b, which is FAILED" in home.store.outcome("d").diagnostics

    asyncio.run(main())


@pytest.mark.requirement("jobs-1.5-queue")
def test_no_more_than_allowed_run_at_once(home) -> None:
    async def main() -> None:
        async with home.supervised():
            for number in range(12):
                home.submit(
                    f"q{number}", "sh", "-c", 'mkdir "$1" && sleep 0.05 && rmdir "$1"', "sh", str(home.path / "q")
                )
            ends = [(await home.until(f"q{number}")).phase for number in range(12)]
        assert ends == [Phase.FINISHED] * 12

    home.jobs.set_capacity(Capacity(max_running=1))
    asyncio.run(main())


@pytest.mark.requirement("jobs-2.2-adopted", "guard-2.3")
def test_the_next_supervisor_adopts_what_runs(home) -> None:
    async def main() -> None:
        async with home.supervised():
            for name in ("x", "y"):
                home.submit(name, "sh", "-c", f"echo $$ >>{home.path}/{name}; read line <{home.path}/fifo; exit 7")
                await home.until(name, Phase.RUNNING)
        async with home.supervised():
            pass
        fifo = os.open(home.path / "fifo", os.O_WRONLY)
        os.write(fifo, b"go\ngo\n")
        async with home.supervised():
            ends = [await home.until(name) for name in ("x", "y")]
        os.close(fifo)
        assert [(job.phase, job.exit_code, job.attempt) for job in ends] == [(Phase.FAILED, 7, 1)] * 2
        for name in ("x", "y"):
            assert len((home.path / name).read_text(encoding="utf-8").split()) == 1

    os.mkfifo(home.path / "fifo")
    asyncio.run(main())


@pytest.mark.requirement("jobs-2.3-entrypoint", "guard-2.9")
def test_what_a_job_has_from_its_submitter(home) -> None:
    async def main() -> None:
        async with home.supervised():
            (home.path / "there").mkdir()
            home.submit(
                "mine",
                "sh",
                "-c",
                'echo "$FROM $SET $*"; pwd; umask; ulimit -Sn',
                "sh",
                "a b",
                "$HOME",
                environ={"FROM": "submitter", "SET": "before"},
                env={"SET": "by hand"},
                cwd=str(home.path / "there"),
                umask=0o027,
                nofile=333,
            )
            assert (await home.until("mine")).phase is Phase.FINISHED
        assert home.output("mine").splitlines() == [
            "submitter by hand a b $HOME",
            str(home.path / "there"),
            "0027",
            "333",
        ]

    asyncio.run(main())


@pytest.mark.requirement("jobs-2.1-events")
def test_a_client_that_died_before_it_rang(home) -> None:
    async def main() -> None:
        async with home.supervised() as supervisor:
            await supervisor.until_idle()
            home.supervisor = None
            home.submit("unheard", "true")
            assert (await home.until("unheard")).phase is Phase.FINISHED

    asyncio.run(main())


@pytest.mark.requirement("jobs-1.4-ttl", "retry-rule-6")
def test_a_job_is_forgotten_when_its_time_is_over(home) -> None:
    async def main() -> None:
        async with home.supervised():
            home.submit("brief", "true", ttl_after_finished=0.0)
            home.submit("kept", "true", ttl_after_finished=1000.0)
            await home.until("kept")
            await until(lambda: home.jobs.job("brief") is None)
        assert not (home.path / "jobs" / "brief.1").exists()
        assert home.output("kept") == ""

    asyncio.run(main())


@pytest.mark.requirement("jobs-2.1-reports")
def test_sinks_are_told(home, tmp_path) -> None:
    async def main() -> None:
        told = tmp_path / "told.json"
        async with home.supervised() as supervisor:
            home.submit("told", "sh", "-c", "exit 4", sinks=(f"file:{told}",))
            await home.until("told")
            await supervisor.until_idle()
        assert '"exit_code": 4' in told.read_text(encoding="utf-8").replace('":4', '": 4')

    asyncio.run(main())


@pytest.mark.requirement("jobs-2.3-prepare", "jobs-2.3-cleanup")
def test_jobs_that_share_an_environment(home) -> None:
    async def main() -> None:
        log = home.path / "log"

        def of(command: str) -> tuple[str, ...]:
            return ("sh", "-c", command)

        shared = Preparation("env", setup=of(f"echo setup >>{log}"), cleanup=of(f"echo cleanup >>{log}"))
        broken = Preparation("broken", setup=of("echo no such package; exit 2"))
        async with home.supervised() as supervisor:
            for number in range(4):
                home.submit(f"p{number}", *of(f"echo job >>{log}"), preparation=shared)
            home.submit("unlucky", *of(f"echo job >>{log}"), preparation=broken)
            ends = [(await home.until(f"p{number}")).phase for number in range(4)]
            unlucky = await home.until("unlucky")
            await supervisor.until_idle()
        assert ends == [Phase.FINISHED] * 4
        assert log.read_text(encoding="utf-8").split() == ["setup", *["job"] * 4, "cleanup"]
        assert (unlucky.phase, unlucky.reason, unlucky.attempt) == (Phase.FAILED, Reason.SUBMISSION_FAILED.value, 0)
        assert "no such package" in home.store.outcome("unlucky").diagnostics

    asyncio.run(main())


@pytest.mark.requirement("fault-18", "jobs-2.1-idle")
def test_a_home_that_is_removed_has_no_supervisor(home) -> None:
    """What waits there waits for nobody."""

    async def main() -> None:
        home.submit("waits", "true", after=())
        home.jobs.set_capacity(Capacity(max_running=1))
        home.supervisor = supervisor = make(home.store, home.path, home.told.append)
        task = asyncio.ensure_future(supervisor.run())
        await home.until("waits")
        shutil.rmtree(home.path)
        with pytest.raises(StoreGoneError):
            await asyncio.wait_for(task, LIMIT)

    asyncio.run(main())


@pytest.mark.requirement("jobs-2.1-burst")
def test_a_burst_of_starts_leaves_others_their_turns(home, monkeypatch) -> None:
    begun, seen = [], [0]
    begin = StoreJobs.begin

    def counted(*args):
        begun.append(args)
        return begin(*args)

    async def main() -> None:
        for number in range(40):
            home.submit(f"job-{number}", "true")
        monkeypatch.setattr(StoreJobs, "begin", counted)
        async with home.supervised() as supervisor:
            while seen[-1] < 40:
                await asyncio.sleep(0)
                seen.append(len(begun))
            await supervisor.until_idle()

    asyncio.run(main())
    assert max(after - before for before, after in pairwise(seen)) <= 16


@pytest.mark.requirement("jobs-2.1-apart")
@pytest.mark.parametrize("where", ["wait", "startable"])
def test_one_job_that_can_not_be_seen_to_keeps_no_other_waiting(home, monkeypatch, where) -> None:
    """Whatever it is that is wrong with it; what runs is seen to its end, too."""
    right = getattr(queueing.Queue, where)

    def wrong(self, *args):
        if where == "startable":
            if "bad" in self:
                raise OverflowError("too much of it")
        elif args[0].submission_id == "bad":
            raise TypeError("it has no priority")
        return right(self, *args)

    async def main() -> None:
        async with home.supervised():
            home.submit("runs", "sh", "-c", f"until test -e {home.path}/go; do sleep 0.01; done; exit 5")
            await home.until("runs", Phase.RUNNING)
            monkeypatch.setattr(queueing.Queue, where, wrong)
            home.submit("bad", "true")
            if where == "wait":
                home.submit("good", "true")
                assert (await home.until("good")).phase is Phase.FINISHED
            (home.path / "go").touch()
            assert (await home.until("runs")).exit_code == 5
            await until(lambda: any("bad" in text or "too much" in text for text in home.told))
            home.stop("bad")
            await home.until("bad")

    asyncio.run(main())


@pytest.mark.requirement("jobs-2.1-apart")
def test_what_we_lack_for_a_moment_is_not_the_job_s_fault(home, monkeypatch) -> None:
    launches = []
    right = LocalBackend.launch

    async def launch(self, attempt, what, limits):
        launches.append(attempt)
        if len(launches) < 3:
            raise StartError(errno.EMFILE, "too many open files", stage="fds")
        return await right(self, attempt, what, limits)

    monkeypatch.setattr(LocalBackend, "launch", launch)

    async def main() -> None:
        async with home.supervised():
            home.submit("patient", "true")
            job = await home.until("patient")
        assert (job.phase, job.attempt, len(launches)) == (Phase.FINISHED, 1, 3)

    asyncio.run(main())


@pytest.mark.requirement("jobs-2.1-apart")
def test_a_job_that_is_deleted_before_it_was_looked_at(home) -> None:
    async def main() -> None:
        home.jobs.set_capacity(Capacity(max_running=1))
        async with home.supervised() as supervisor:
            home.submit("first", "sleep", "100")
            await home.until("first", Phase.RUNNING)
            home.submit("gone", "true")
            await until(lambda: "gone" in supervisor._queue)
            ring, home.supervisor = home.supervisor, None
            home.stop("gone")
            home.jobs.delete("gone")
            home.supervisor = ring
            home.submit("last", "true")
            home.stop("first")
            assert (await home.until("last")).phase is Phase.FINISHED

    asyncio.run(main())
