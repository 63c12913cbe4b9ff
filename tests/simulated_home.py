"""A home in a simulation: the real supervisor and deciders, over a fake store, a fake backend and virtual time.

Clients submit, stop, suspend and resume at random; the supervisor is killed at random writes, before or after they took
effect; the wall clock jumps; the machine reboots. All from one seed: what fails, fails again.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from dataclasses import dataclass, field

from virtual_time import LoopClock, VirtualLoop, run

from raydp_wrap.errors import AlreadyDecidedError, GuardUnresponsiveError, StoreError, UsageError
from raydp_wrap.job import Capacity, StopWish
from raydp_wrap.model import Attempt, Launch, Reason, Submission
from raydp_wrap.moment import Moment
from raydp_wrap.request import (
    Condition,
    Context,
    Dependency,
    FailureRule,
    Phase,
    Request,
    RetryPolicy,
    RuleAction,
)
from raydp_wrap.supervisor.loop import Supervisor
from raydp_wrap.supervisor.verdict import killed
from raydp_wrap.testing import FakeBackend, Script


class Died(BaseException):
    """The supervisor's process was killed."""


class Mortal:
    """What a dead process can't use any more. BEFORE is called before each call of a method that changes something."""

    def __init__(self, what, life, changing=()) -> None:
        self._what, self._life, self._changing = what, life, changing

    def __getattr__(self, name):
        method = getattr(self._what, name)
        if not callable(method):
            return method
        changing = name in self._changing

        def call(*args, **kwargs):
            self._life.check(name, changing=changing, after=False)
            result = method(*args, **kwargs)
            self._life.check(name, changing=changing, after=True)
            return result

        async def call_async(*args, **kwargs):
            self._life.check(name, changing=changing, after=False)
            result = await method(*args, **kwargs)
            self._life.check(name, changing=changing, after=True)
            return result

        return call_async if asyncio.iscoroutinefunction(method) else call


WRITES = ("begin", "started", "retry", "suspended", "park", "decide", "delete")


class Life:
    """One process of the supervisor: dead or not."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.dead = asyncio.Event()

    def check(self, name: str, *, changing: bool, after: bool) -> None:
        if self.dead.is_set():
            raise Died(name)
        home = self.home
        if changing and home.chance.random() < home.plan.death:
            self.dead.set()
            home.deaths[name, after] += 1
            raise Died(name)
        if changing and not after and home.chance.random() < home.plan.store_errors:
            home.store_errors += 1
            raise StoreError("simulated")


@dataclass
class Plan:
    """What happens how often."""

    jobs: int = 200
    death: float = 0.01
    store_errors: float = 0.005
    reboots: float = 0.1  # of the deaths
    clock_jumps: int = 5
    max_running: int = 8
    span: float = 500.0  # seconds in which they are submitted


@dataclass
class Run:
    """One attempt as the backend saw it."""

    began: float
    ended: float | None = None


class WatchedBackend(FakeBackend):
    """Notes when attempts begin and end, and complains when two of one submission overlap."""

    def __init__(self, home: Home) -> None:
        super().__init__(home.script, home.clock)
        self._home = home

    def again(self):
        other = WatchedBackend(self._home)
        other._jobs, other.launched = self._jobs, self.launched
        return other

    async def launch(self, attempt, launch, limits):
        key = (attempt.submission_id, attempt.number)
        new = key not in self._jobs
        if self._home.chance.random() < self._home.plan.store_errors:
            raise GuardUnresponsiveError("simulated")
        running = await super().launch(attempt, launch, limits)
        if new:
            self._home.began(key)
        return running

    def _end(self, job, status) -> None:
        was = job.ended_at
        super()._end(job, status)
        if was is None:
            self._home.ended(job)

    def lose_all(self) -> None:
        """A reboot: nothing runs any more, and nothing tells how it ended."""
        for (submission_id, number), job in list(self._jobs.items()):
            if job.ended_at is None:
                self.lose(Attempt(submission_id, number, 0.0))


@dataclass
class Home:
    """The simulated home; :meth:`main` is its whole life."""

    jobs: object
    seed: int
    plan: Plan = field(default_factory=Plan)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.deaths: Counter = Counter()
        self.store_errors = 0
        self.boot = 1
        self.runs: dict[tuple[str, int], Run] = {}
        self.active: dict[str, int] = {}
        self.most_running = 0
        self.problems: list[str] = []
        self.submitted: list[str] = []
        self.terminal: dict[str, tuple] = {}
        self.stopped_early: set[str] = set()
        self.told: list[str] = []
        self.supervisor: Supervisor | None = None

    # -- the world ----------------------------------------------------------------------------

    def open(self, changed) -> None:
        pass

    async def close(self) -> None:
        pass

    busy = False

    def now(self) -> Moment:
        return Moment(f"boot {self.boot}", self.loop.time(), self.clock.time())

    def backend(self, name):
        assert name == "fake"
        return Mortal(self.backend_now, self.life)

    async def launch(self, job, context) -> Launch:  # noqa: ARG002
        return Launch(job.request.argv, name=f"{job.submission_id}/{job.attempt}")

    async def last_words(self, job) -> str:  # noqa: ARG002
        return ""

    def bind(self, submission_id, app_id) -> None:
        pass

    def event(self, event) -> None:
        pass

    def deliver(self) -> None:
        pass

    async def discard(self, job) -> None:
        pass

    def tell(self, text) -> None:
        self.told.append(text)

    # -- what attempts do ---------------------------------------------------------------------

    def script(self, attempt, launch) -> Script:  # noqa: ARG002
        chance = random.Random(f"{self.seed} {attempt.submission_id} {attempt.number}")
        steps = (chance.choice((0.0, 0.01, 1.0, 5.0, 30.0)) * chance.random(),)
        how = chance.random()
        if how < 0.05:
            return Script(start_error="it can't be started")
        if how < 0.1:
            return Script(steps)  # for ever
        if how < 0.15:
            return Script(steps, lost=True)
        if how < 0.2:
            return Script(steps, signal=9)
        heeds = chance.random() < 0.8
        return Script(steps, code=chance.choice((0, 0, 0, 0, 1, 3, 52)), heeds_stop=heeds)

    def began(self, key) -> None:
        submission_id, number = key
        if key in self.runs:
            self.problems.append(f"{key} was started twice")
        if submission_id in self.active:
            self.problems.append(f"{key} overlaps with attempt {self.active[submission_id]}")
        if submission_id in self.stopped_early:
            self.problems.append(f"{key} was started after it had been stopped")
        self.active[submission_id] = number
        self.runs[key] = Run(self.loop.time())
        self.most_running = max(self.most_running, len(self.active))

    def ended(self, job) -> None:
        key = next(key for key, one in self.backend_now._jobs.items() if one is job)
        self.active.pop(key[0], None)
        if key in self.runs:
            self.runs[key].ended = self.loop.time()

    # -- what clients do ----------------------------------------------------------------------

    def request(self, chance) -> Request:
        rules = []
        if chance.random() < 0.3:
            rules.append(FailureRule(chance.choice(list(RuleAction)), exit_codes=(52,)))
        if chance.random() < 0.2:
            rules.append(FailureRule(chance.choice((RuleAction.FAIL, RuleAction.COUNT)), reasons=(Reason.JOB_LOST,)))
        after = ()
        if self.submitted and chance.random() < 0.15:
            after = (Dependency(chance.choice(self.submitted), chance.choice(list(Condition))),)
        return Request(
            ("work",),
            backend="fake",
            retry=RetryPolicy(chance.choice((0, 0, 1, 3)), 1.0, 20.0, 0.2, tuple(rules)),
            active_deadline=chance.choice((None, 10.0, 40.0, 100.0)) or 400.0,
            attempt_deadline=chance.choice((None, None, 5.0, 50.0)),
            priority=chance.choice((0, 0, 0, 5, -5)),
            slots={"licence": 1.0} if chance.random() < 0.1 else {},
            after=after,
            grace=chance.choice((0.0, 1.0, 5.0)),
            suspend=chance.random() < 0.05,
            ttl_after_finished=None,
        )

    def submit(self) -> None:
        submission_id = f"s{len(self.submitted)}"
        request = self.request(self.chance)
        submission = Submission(submission_id, "work", self.clock.time())
        try:
            _, new = self.jobs.submit(submission, request, Context(), self.now())
        except UsageError as error:
            if "never start" not in str(error):
                raise
            return
        assert new
        again, new = self.jobs.submit(submission, request, Context(), self.now())
        assert not new
        assert again.submission_id == submission_id
        self.submitted.append(submission_id)
        self.ring()

    def ring(self) -> None:
        # A client that dies before it rings is heard with the next one.
        if self.supervisor is not None and self.chance.random() < 0.95:
            self.supervisor.ring()

    def interfere(self) -> None:
        """A client does something to a job."""
        if not self.submitted:
            return
        submission_id = self.chance.choice(self.submitted[-40:])
        job = self.jobs.job(submission_id)
        what = self.chance.choice(("stop", "suspend", "resume", "resume", "suspend"))
        try:
            if what == "stop":
                wish = StopWish(self.clock.time(), 1, 1, "a client", self.chance.choice((None, 0.0, 2.0)))
                after = self.jobs.stop(submission_id, wish, killed(job, wish, self.now()), self.now())
                if after.phase.terminal and after.attempt == 0:
                    self.stopped_early.add(submission_id)
            elif what == "suspend":
                self.jobs.suspend(submission_id, "a client", self.now())
            else:
                self.jobs.resume(submission_id, "a client", self.now())
        except (AlreadyDecidedError, UsageError):
            pass
        self.look(submission_id)
        self.ring()

    def look(self, submission_id) -> None:
        """A terminal state is seen once, and for ever."""
        job = self.jobs.job(submission_id)
        if submission_id in self.terminal:
            seen = (job.phase, job.exit_code, job.signal, job.reason, job.attempt, job.succeeded, job.failed)
            if self.terminal[submission_id] != seen:
                self.problems.append(f"{submission_id} was {self.terminal[submission_id]} and is {seen}")
        elif job.phase.terminal:
            self.terminal[submission_id] = (
                job.phase, job.exit_code, job.signal, job.reason, job.attempt, job.succeeded, job.failed,
            )  # fmt: skip

    # -- its life -----------------------------------------------------------------------------

    async def supervise(self) -> None:
        """Supervisors, one after the other."""
        while True:
            self.life = Life(self)
            self.backend_now = self.backend_now.again()
            self.supervisor = None
            jobs = Mortal(self.jobs, self.life, WRITES)
            self.supervisor = Supervisor(jobs, self, chance=random.Random(self.chance.random()))
            running = asyncio.ensure_future(self.supervisor.run())
            dead = asyncio.ensure_future(self.life.dead.wait())
            try:
                await asyncio.wait((running, dead), return_when=asyncio.FIRST_COMPLETED)
                if running.done() and not self.life.dead.is_set():
                    running.result()
            finally:
                self.life.dead.set()
                for task in (running, dead):
                    task.cancel()
                await asyncio.gather(running, dead, return_exceptions=True)
            if self.chance.random() < self.plan.reboots:
                self.boot += 1
                self.backend_now.lose_all()
            await asyncio.sleep(self.chance.random() * 3)

    async def main(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.clock = LoopClock(self.loop)
        self.backend_now = WatchedBackend(self)
        self.jobs.set_capacity(Capacity(self.plan.max_running, {"licence": 2.0}))
        supervising = asyncio.ensure_future(self.supervise())
        jumps = [self.chance.randrange(self.plan.jobs) for _ in range(self.plan.clock_jumps)]
        for number in range(self.plan.jobs):
            self.submit()
            for _ in range(self.chance.choice((0, 0, 1, 2))):
                self.interfere()
            if number in jumps:
                self.clock.offset += self.chance.choice((-3.2e7, 3.2e7, -60.0, 3600.0))
            await asyncio.sleep(self.chance.expovariate(self.plan.jobs / self.plan.span))
            if supervising.done():
                supervising.result()
        await self.finish(supervising)

    async def finish(self, supervising) -> None:
        """Let everything end: what is suspended is resumed, and nobody dies any more."""
        self.plan.death = self.plan.store_errors = 0.0
        for _ in range(200):
            unfinished = self.jobs.unfinished()
            if not unfinished:
                break
            for job in unfinished:
                if job.suspend or job.phase in (Phase.SUSPENDED, Phase.SUSPENDING):
                    with contextlib.suppress(UsageError):
                        self.jobs.resume(job.submission_id, "the end", self.now())
            if self.supervisor is not None:
                self.supervisor.ring()
            await asyncio.sleep(100)
        supervising.cancel()
        await asyncio.gather(supervising, return_exceptions=True)
        self.check()

    def check(self) -> None:
        for job in self.jobs.unfinished():
            self.problems.append(f"{job.submission_id} is {job.phase.value} for ever: {job}")
        for submission_id in self.submitted:
            self.look(submission_id)
            job = self.jobs.job(submission_id)
            if (job.phase is Phase.FINISHED) != (job.succeeded == 1):
                self.problems.append(f"{submission_id} is {job.phase.value} with {job.succeeded} successes")
            counted = job.succeeded + job.failed + job.ignored + job.suspended
            if not counted <= job.attempt <= counted + 1:
                self.problems.append(f"{submission_id} counted {counted} of {job.attempt} attempts")
            if job.failed > job.request.retry.limit + 1:
                self.problems.append(f"{submission_id} failed {job.failed} times")
            if job.phase is Phase.FINISHED and job.exit_code != 0:
                self.problems.append(f"{submission_id} finished with {job.exit_code}")
            if job.phase is not Phase.FINISHED and job.exit_code == 0:
                self.problems.append(f"{submission_id} is {job.phase.value} with exit code 0")
            self.check_deadline(job)
        if self.most_running > self.plan.max_running:
            self.problems.append(f"{self.most_running} ran at once")

    def check_deadline(self, job) -> None:
        """No attempt outlives its deadlines by more than its grace, or a stop's that came before."""
        grace = max(job.request.grace, 2.0)
        limit = min(filter(None, (job.request.active_deadline, job.request.attempt_deadline)))
        for number in range(1, job.attempt + 1):
            one = self.runs.get((job.submission_id, number))
            if one is not None and one.ended is not None and one.ended - one.began > limit + grace + 0.1:
                self.problems.append(f"attempt {number} of {job.submission_id} ran for {one.ended - one.began} s")


def simulate(jobs, seed: int, plan: Plan | None = None) -> Home:
    """One whole life; the home, with what went wrong in ``problems``."""
    home = Home(jobs, seed, plan if plan is not None else Plan())
    run(VirtualLoop(), home.main())
    return home
