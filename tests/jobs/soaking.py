"""A home in use: random jobs, and whatever may befall them, for as long as one likes."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crash.harness import compiled
from jobs.real_home import until
from programs.facts import environment

from raydp_wrap.errors import AlreadyDecidedError, GuardError, SupervisorError, SupervisorGoneError, UsageError
from raydp_wrap.job import Capacity
from raydp_wrap.process import Guard
from raydp_wrap.request import Condition, Dependency, Phase, Preparation, RetryPolicy
from raydp_wrap.supervisor.bell import Bell

if TYPE_CHECKING:
    from collections.abc import Iterator

    from raydp_wrap import Client, Job

__all__ = ["Plan", "Soak"]

MOST_UNFINISHED = 40
MOST_RUNNING = 16
WAITERS = 3
SHAPES = ("alone", "background", "setsid", "double-fork", "ignores-term", "subreaper", "closes-fds", "stopped")

#: Leaves what it knows: that it began, and how it is about to end. $1 is where, the rest is its work.
NOTES = (
    'note=$1; shift; echo start $RAYDP_WRAP_ATTEMPT >>$note; "$@"; code=$?; '
    "echo end $RAYDP_WRAP_ATTEMPT $code >>$note; exit $code"
)
FLAKY = "test $RAYDP_WRAP_ATTEMPT -gt $0 || exit 7"
SLEEP = "exec sleep $0"
WRITE = "seq 1 $0"
WAIT = "import sys; from raydp_wrap import Client; Client(sys.argv[1]).job(sys.argv[2]).wait()"


@dataclass
class Plan:
    """What a job was asked to do, and what befell it."""

    kind: str
    job: Job
    code: int | None  # what it ends with if nothing befalls it; None: that depends
    attempts: int = 1
    lines: int = 0
    deadline: bool = False
    depends: bool = False
    sink: Path | None = None
    kept: bool = True
    touched: set[str] = field(default_factory=set)


class Soak:
    """Does things to CLIENT's home; FOLDER is for notes. All by SEED, but for the time."""

    def __init__(self, client: Client, folder: Path, seed: int) -> None:
        self.client = client
        self.folder = folder
        self.chance = random.Random(seed)
        self.plans: dict[str, Plan] = {}
        self.done: Counter[str] = Counter()
        self.waiters: list[subprocess.Popen[bytes]] = []
        self.shapes = compiled("shapes.c")

    # -- submitting ---------------------------------------------------------------------------

    def submit(self) -> None:
        chance, number = self.chance, len(self.plans)
        kind = chance.choice(("exit", "exit", "flaky", "sleep", "shape", "write", "deadline", "after", "environment"))
        options: dict[str, Any] = {
            "grace": chance.choice((0.05, 0.5)),
            "priority": chance.choice((0, 0, 1)),
            "cpus": 0.0,
        }
        code: int | None = 0
        attempts, lines = 1, 0
        work: tuple[str, ...] = ("true",)
        if kind in ("exit", "after", "environment"):
            code = chance.choice((0, 0, 1, 7))
            retries = chance.choice((0, 0, 1, 2))
            attempts = retries + 1 if code else 1
            work = ("sh", "-c", f"exit {code}")
            options["retry"] = RetryPolicy(retries, backoff_first=0.05)
        elif kind == "flaky":
            fails, retries = chance.choice((1, 2)), chance.choice((1, 2))
            code, attempts = (0, fails + 1) if fails <= retries else (7, retries + 1)
            work = ("sh", "-c", FLAKY, str(fails))
            options["retry"] = RetryPolicy(retries, backoff_first=0.05)
        elif kind == "sleep":
            work = ("sh", "-c", SLEEP, f"{chance.random() * 3:.3f}")
        elif kind == "shape":
            mode = chance.choice(("exit", "exit3", "stay"))
            code = {"exit": 0, "exit3": 3, "stay": None}[mode]
            work = (self.shapes, chance.choice(SHAPES), mode, str(self.folder), str(self.folder / f"shape{number}"))
        elif kind == "write":
            lines = chance.choice((10, 1000, 200_000))
            work = ("sh", "-c", WRITE, str(lines))
        elif kind == "deadline":
            code, work = None, ("sh", "-c", SLEEP, "100")
            options[chance.choice(("active_deadline", "attempt_deadline"))] = 0.1 + chance.random()
        if kind == "after" and self.plans:
            before = chance.choice(list(self.plans.values())[-20:]).job
            options["after"] = [Dependency(before.id, chance.choice(list(Condition)))]
        if kind == "environment":
            options["preparation"] = self.environment(chance.choice("abc"))
        sink = self.folder / f"told{number}.json" if chance.random() < 0.2 else None
        if sink is not None:
            options["sinks"] = [f"file:{sink}"]
        kept = chance.random() < 0.85
        if not kept:
            options["ttl_after_finished"] = chance.choice((0.0, 1.0))
        options["suspend"] = chance.random() < 0.05
        name = f"{kind}{number}"
        try:
            job = self.client.submit(["sh", "-c", NOTES, "sh", str(self.folder / name), *work], name=name, **options)
        except UsageError:  # what it was to come after has gone, or has not ended as it should
            assert kind == "after"
            return
        self.plans[name] = Plan(
            kind, job, code, attempts, lines, kind == "deadline", "after" in options, sink, kept,
            {"suspend"} if options["suspend"] else set(),
        )  # fmt: skip

    def environment(self, key: str) -> Preparation:
        note = self.folder / f"environment-{key}"
        return Preparation(
            key,
            setup=("sh", "-c", f"echo setup >>{note}"),
            cleanup=("sh", "-c", f"echo cleanup >>{note}"),
        )

    # -- what befalls them --------------------------------------------------------------------

    def one(self, *phases: Phase) -> Plan | None:
        """One that is in one of PHASES now."""
        found = self.client.statuses(phases=phases)
        names = [one.submission.name for one in found]
        return self.plans[self.chance.choice(names)] if names else None

    def stop(self) -> None:
        plan = self.one(*(phase for phase in Phase if not phase.terminal))
        if plan is not None:
            plan.touched.add("stop")
            plan.job.stop(grace=self.chance.choice((None, 0.0)))

    def suspend(self) -> None:
        plan = self.one(Phase.PENDING, Phase.RUNNING, Phase.RETRYING)
        if plan is not None:
            plan.touched.add("suspend")
            plan.job.suspend()

    def resume(self) -> None:
        plan = self.one(Phase.SUSPENDED, Phase.SUSPENDING)
        if plan is not None:
            plan.job.resume()

    def kill_guard(self) -> None:
        self.kill_process_of("guard")

    def kill_driver(self) -> None:
        self.kill_process_of("driver")

    def kill_process_of(self, what: str) -> None:
        plan = self.one(Phase.RUNNING)
        if plan is None:
            return
        place = self.client.home / "jobs" / f"{plan.job.id}.{plan.job.status().attempt}"
        with contextlib.suppress(GuardError, OSError), Guard.connect(place / "socket") as guard:
            pid = guard.guard_pid if what == "guard" else guard.pid
            pidfd = os.pidfd_open(pid)
            try:
                # Looked at after the pidfd was opened: were the pid another's by then, this is the other's.
                if plan.job.id.encode() in Path(f"/proc/{pid}/environ").read_bytes():
                    plan.touched.add(what)
                    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            finally:
                os.close(pidfd)

    def kill_supervisor(self) -> None:
        with contextlib.suppress(SupervisorError, ProcessLookupError), Bell.connect(self.client.home) as bell:
            pidfd = os.pidfd_open(bell.pid)
            try:
                bell.read()  # it is still there: the pid was its own when it was opened
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            finally:
                os.close(pidfd)

    def wait_elsewhere(self) -> None:
        """Another process waits for one; it may be killed as it does."""
        for one in [one for one in self.waiters if one.poll() is not None]:
            self.waiters.remove(one)
        if len(self.waiters) >= WAITERS:
            self.end_waiter()
        plan = self.one(Phase.RUNNING)
        if plan is not None:
            command = [sys.executable, "-c", WAIT, str(self.client.home), plan.job.id]
            self.waiters.append(subprocess.Popen(command, env=environment(), stderr=subprocess.DEVNULL))

    def end_waiter(self) -> None:
        one = self.waiters.pop(0)
        one.kill()
        one.wait()

    def delete(self) -> None:
        plan = self.one(*(phase for phase in Phase if phase.terminal))
        if plan is not None and plan.kept:
            self.check(plan)
            with contextlib.suppress(UsageError):  # a report, or another job, waits
                self.client.delete(plan.job)
                plan.kept = False

    # -- all of it ----------------------------------------------------------------------------

    ACTIONS = (
        ("submit", 40), ("stop", 4), ("suspend", 3), ("resume", 6), ("kill_guard", 1), ("kill_driver", 2),
        ("kill_supervisor", 1), ("wait_elsewhere", 1), ("delete", 1),
    )  # fmt: skip

    def run(self, seconds: float) -> None:
        self.client.set_limits(Capacity(MOST_RUNNING))
        names, weights = zip(*self.ACTIONS, strict=True)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            (what,) = self.chance.choices(names, weights)
            if what == "submit" and len(self.unfinished()) >= MOST_UNFINISHED:
                time.sleep(0.02)
                continue
            self.done[what] += 1
            # What is done to it may come too late, or it may have been forgotten meanwhile.
            with contextlib.suppress(AlreadyDecidedError, UsageError):
                getattr(self, what)()
            time.sleep(self.chance.random() * 0.02)
        self.finish()

    def unfinished(self) -> list[Any]:
        return self.client.statuses(phases=[phase for phase in Phase if not phase.terminal])

    def finish(self) -> None:
        """Let everything end."""
        while self.waiters:
            self.end_waiter()

        def ended() -> bool:
            for status in self.unfinished():
                plan = self.plans[status.submission.name]
                with contextlib.suppress(AlreadyDecidedError, UsageError):
                    if status.suspend:
                        plan.job.resume()
                    if plan.kind == "shape" and status.phase is Phase.RUNNING:
                        plan.touched.add("stop")
                        plan.job.stop()
            return not self.unfinished()

        with self.client.watching():  # somebody supervises
            until(ended, lambda: [(one.submission.name, one.phase) for one in self.unfinished()], 180)

    # -- what is true of them -----------------------------------------------------------------

    def notes(self, name: str) -> Iterator[list[str]]:
        with contextlib.suppress(FileNotFoundError):
            for line in (self.folder / name).read_text(encoding="ascii").splitlines():
                yield line.split()

    def check(self, plan: Plan) -> None:
        """Compare what is known of a job that has ended with what it left, and with what was done to it."""
        try:
            job, history = plan.job.status(), plan.job.history()
        except UsageError:
            assert not plan.kept, f"{plan} has been forgotten"
            return
        notes = list(self.notes(plan.job.name))
        starts = Counter(int(words[1]) for words in notes if words[0] == "start")
        ends = {int(words[1]): int(words[2]) for words in notes if words[0] == "end"}
        what = f"{plan}\n{job}\n{notes}\n{history}"
        assert all(count == 1 for count in starts.values()), what
        assert max(starts, default=0) <= job.attempt, what
        assert [change.kind.value for change in plan.job.changes()].count("ended") == 1, what
        assert (job.phase is Phase.FINISHED) == (job.exit_code == 0) == (job.succeeded == 1), what
        failed = 0
        for attempt, outcome in history:
            assert outcome is not None, what
            self.check_attempt(plan, attempt.number, outcome, ends, what)
            failed += outcome.state.value == "FAILED"
        assert job.failed == failed, what
        if not history:
            assert job.phase is Phase.KILLED or plan.depends or plan.deadline, what
        if not plan.touched and not plan.depends and plan.code is not None:
            assert (job.exit_code, job.attempt) == (plan.code, plan.attempts), what
        if plan.lines and job.phase is Phase.FINISHED:
            expected = b"".join(b"%d\n" % number for number in range(1, plan.lines + 1))
            assert b"".join(plan.job.logs()) == expected, what

    def check_attempt(self, plan: Plan, number: int, outcome: Any, ends: dict[int, int], what: str) -> None:
        reason = outcome.reason.value if outcome.reason else "none"
        if reason == "none":
            assert outcome.state.value == "FINISHED", what
            assert ends[number] == 0, what
        elif reason == "AppFailed" and outcome.signal is None:
            assert ends[number] == outcome.exit_code, what
        else:
            cause = {
                "AppFailed": "driver", "JobLost": "guard", "StopRequested": "stop", "Suspended": "suspend",
            }.get(reason)  # fmt: skip
            if cause is None:
                assert "Deadline" in reason, what
                assert plan.deadline, what
            else:
                assert cause in plan.touched, what

    def check_all(self) -> Counter[str]:
        """Check every job; how many ended how."""
        seen: Counter[str] = Counter()
        for plan in self.plans.values():
            self.check(plan)
            with contextlib.suppress(UsageError):
                status = plan.job.status()
                seen[f"{status.phase.value} {status.reason or ''}".strip()] += 1
            if plan.sink is not None:
                assert plan.sink.exists(), f"{plan} told its sink nothing"
        return seen


def gone(home: Path) -> bool:
    """Whether nobody supervises HOME."""
    try:
        Bell.connect(home).close()
    except SupervisorGoneError:
        return True
    return False
