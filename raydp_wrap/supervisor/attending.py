"""One active attempt: launched or adopted, observed, and its end written down."""

from __future__ import annotations

import asyncio
import errno
from typing import TYPE_CHECKING, Any

from raydp_wrap import outcome as outcomes
from raydp_wrap.errors import AlreadyDecidedError, RaydpWrapError, StartError, StoreError, UsageError
from raydp_wrap.job import Tally
from raydp_wrap.model import Attempt, Limits, Reason, TerminalState
from raydp_wrap.request import Phase
from raydp_wrap.supervisor.verdict import of_end, verdict

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator, Mapping

    from raydp_wrap.backend import Observation, Running
    from raydp_wrap.job import Job, Jobs
    from raydp_wrap.model import Outcome
    from raydp_wrap.supervisor.world import World

__all__ = ["Attending", "pauses", "saved_by_backend"]

_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 10.0
_LONGEST_LABEL = 60
_SCARCE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN)
_LONGEST_WAIT = 60.0
_BACKEND, _OWN_DEADLINE = "backend", "own_deadline"


def pauses() -> Iterator[float]:
    """Seconds to wait before what failed is tried again: doubled, and bounded."""
    pause = _FIRST_PAUSE
    while True:
        yield pause
        pause = min(2 * pause, _LONGEST_PAUSE)


def saved_by_backend(saved: Mapping[str, Any]) -> Mapping[str, Any]:
    """The backend's part of what is SAVED of an attempt."""
    found: Mapping[str, Any] = saved.get(_BACKEND, {})
    return found


class Attending:
    """Sees to the active attempt of JOB, which the store has as begun. SEEN is given the job when it has changed."""

    def __init__(
        self, job: Job, jobs: Jobs, world: World, chance: random.Random, seen: Callable[[Job, Outcome | None], None]
    ) -> None:
        self.job = job
        self._jobs = jobs
        self._world = world
        self._chance = chance
        self._seen = seen
        self._running: Running | None = None
        self._own_deadline = False
        self._asked: float | None = None  # the grace that it was asked to stop with
        self._stopping: set[asyncio.Task[None]] = set()

    def look(self, job: Job) -> None:
        """The job has changed: see to its wishes."""
        self.job = job
        self._ask()

    async def run(self) -> None:
        """See to the attempt until its end is in the store."""
        taken = await self._take()
        if not hasattr(taken, "observe"):
            await self._settle(taken)
            return
        self._running = running = taken
        try:
            await self._started(running)
            self._ask()
            last = await self._observe(running)
            self._let_be()
            # Before it is closed, which may take a moment: others wait for its end.
            await self._settle(await self._outcome(last))
        finally:
            self._let_be()
            await running.close()

    def _let_be(self) -> None:
        """Ask nothing more of it."""
        self._running = None
        for task in self._stopping:
            task.cancel()

    # -- its beginning ------------------------------------------------------------------------

    async def _take(self) -> Any:
        """The running attempt, or the outcome of one that could not be started."""
        job = self.job
        attempt = Attempt(job.submission_id, job.attempt, job.attempt_at or 0.0)
        waited = 0.0
        for pause in pauses():
            try:
                backend = self._world.backend(job.request.backend)
                if job.saved is not None:
                    self._own_deadline = bool(job.saved.get(_OWN_DEADLINE))
                    return await backend.restore(attempt, saved_by_backend(job.saved))
                limits = self._limits()
                launch = await self._world.launch(job, self._jobs.context(job.submission_id))
                return await backend.launch(attempt, launch, limits)
            except UsageError as error:
                return self._not_started(str(error), error.exit_code, Reason.VALIDATION_FAILED)
            except StartError as error:
                # What we lack now is not the job's fault, and may come back.
                if error.errno not in _SCARCE or waited >= _LONGEST_WAIT:
                    return self._not_started(str(error), error.exit_code, Reason.SUBMISSION_FAILED)
                self._world.tell(f"attempt {job.attempt} of {job.submission_id} is started later: {error}")
            except RaydpWrapError as error:
                # Whether it runs is not known, and that is no end.
                self._world.tell(f"attempt {job.attempt} of {job.submission_id}: {error}")
            await asyncio.sleep(pause)
            waited += pause
        return None

    def _limits(self) -> Limits:
        """The backend's limits: of the two deadlines the one that comes first, so that it holds without us."""
        job, request = self.job, self.job.request
        left = None if job.deadline is None else max(0.001, self._world.now().until(job.deadline))
        own = request.attempt_deadline
        self._own_deadline = own is not None and (left is None or own < left)
        return Limits(
            grace=request.grace,
            stop_signal=request.stop_signal,
            active_deadline=own if self._own_deadline else left,
            start_deadline=request.start_timeout,
            log_limit=request.log_limit,
        )

    def _not_started(self, why: str, status: int, reason: Reason) -> Outcome:
        now = self._world.now().wall
        return outcomes.never_started(
            why, self.job.submission, at=now, status=status, reason=reason, attempt=self.job.attempt
        )

    async def _started(self, running: Running) -> None:
        if self.job.saved is None:
            await self._save(running)

    async def _save(self, running: Running) -> None:
        saved = {_BACKEND: running.save(), _OWN_DEADLINE: self._own_deadline}
        job = self.job

        def save() -> Job:
            now = self._world.now()
            return self._jobs.started(job.submission_id, job.attempt, saved, now.wall, now)

        await self._write(save)

    # -- while it runs ------------------------------------------------------------------------

    async def _observe(self, running: Running) -> Observation:
        app_id, up = None, False
        async for seen in running.observe():
            if seen.running and not up:
                up = True
                await running.ready()
            if seen.app_id is not None and seen.app_id != app_id:
                app_id = seen.app_id
                await self._bind(running, app_id)
            if seen.ended:
                return seen
        raise RaydpWrapError(f"the backend of {self.job.submission_id} ended without saying how.")

    async def _bind(self, running: Running, app_id: str) -> None:
        try:
            self._world.bind(self.job.submission_id, app_id)
        except (StoreError, UsageError) as error:
            self._world.tell(str(error))
        await self._save(running)

    def _ask(self) -> None:
        """Pass a wish on to the backend; once more, if the grace has become shorter."""
        job = self.job
        if self._running is None:
            return
        if job.stop is not None:
            grace, label = job.stop.grace, job.stop.label or f"pid {job.stop.pid}, uid {job.stop.uid}"
        elif job.phase is Phase.SUSPENDING:
            grace, label = None, "suspend"
        else:
            return
        wanted = job.request.grace if grace is None else grace
        if self._asked is not None and self._asked <= wanted:
            return
        self._asked = wanted
        task = asyncio.get_running_loop().create_task(self._stop(self._running, wanted, label[:_LONGEST_LABEL]))
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)

    async def _stop(self, running: Running, grace: float, label: str) -> None:
        for pause in pauses():
            try:
                await running.stop(grace=grace, label=label)
            except RaydpWrapError as error:
                self._world.tell(f"{self.job.submission_id} can't be stopped yet: {error}")
            else:
                return
            await asyncio.sleep(pause)

    # -- its end ------------------------------------------------------------------------------

    async def _outcome(self, last: Observation) -> Outcome:
        """How it ended; with its last words, which are not to hold up the loop, where it is no success."""

        def with_words(words: str) -> Outcome:
            asked = self._asked is not None
            return of_end(self.job, last, own_deadline=self._own_deadline, last_words=lambda: words, asked=asked)

        outcome = with_words("")
        if outcome.state is TerminalState.FINISHED:
            return outcome
        words = await self._world.last_words(self.job)
        return with_words(words) if words else outcome

    async def _settle(self, outcome: Outcome) -> None:
        await self._write(lambda: self._settled(outcome), outcome)

    def _settled(self, outcome: Outcome) -> Job:
        now, job = self._world.now(), self.job
        found = verdict(job, outcome, self._chance)
        if found.tally is Tally.SUSPENDED:
            return self._jobs.suspended(job.submission_id, job.attempt, found.outcome, now)
        if found.pause is not None:
            due = now.after(found.pause)
            return self._jobs.retry(job.submission_id, job.attempt, outcome, found.tally, due, found.why, now)
        return self._jobs.decide(job.submission_id, job.attempt, outcome, found.tally, now)

    async def _write(self, write: Callable[[], Job], outcome: Outcome | None = None) -> None:
        """Change the store, however long that takes: what it does not know has not happened."""
        for pause in pauses():
            try:
                self.job = write()
            except StoreError as error:
                self._world.tell(f"{self.job.submission_id} can't be written down yet: {error}")
            except AlreadyDecidedError:
                found = self._jobs.job(self.job.submission_id)
                if found is not None:
                    self._seen(found, None)
                return
            else:
                self._seen(self.job, outcome)
                return
            await asyncio.sleep(pause)
