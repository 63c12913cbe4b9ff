"""The one loop that makes a home's jobs true: what the store says is wanted is started, seen to, and written down.

It may die at any moment. Whatever it does is in the store before it has effects; the next one reads it there.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from typing import TYPE_CHECKING

from raydp_wrap import outcome as outcomes
from raydp_wrap.errors import AlreadyDecidedError, RaydpWrapError, StoreError, StoreGoneError, UsageError
from raydp_wrap.model import Event, EventKind, Reason
from raydp_wrap.request import Condition, Phase
from raydp_wrap.supervisor import queueing
from raydp_wrap.supervisor.attending import Attending, pauses
from raydp_wrap.supervisor.timers import Timers
from raydp_wrap.supervisor.verdict import dependency_outcome, killed, overdue

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from raydp_wrap.job import Job, Jobs
    from raydp_wrap.model import Outcome
    from raydp_wrap.moment import Moment
    from raydp_wrap.request import Preparation
    from raydp_wrap.supervisor.preparing import Preparations
    from raydp_wrap.supervisor.world import World

__all__ = ["Supervisor"]

_AGAIN = 1.0  # seconds until what failed is looked at again
_LATER = 60.0
_STORE = ""  # a timer's key that is no submission's
_AT_ONCE = 16  # attempts begun, before others have their turn


class Supervisor:
    """Supervises JOBS, in one event loop; ON_CHANGE is given the ids of those that have changed.

    The caller sees to it that there is one for a home (by a lock), and calls :meth:`ring` when the store has changed.
    """

    def __init__(
        self,
        jobs: Jobs,
        world: World,
        *,
        preparations: Preparations | None = None,
        chance: random.Random | None = None,
        on_change: Callable[[set[str]], None] | None = None,
    ) -> None:
        self.on_change = on_change
        self._jobs = jobs
        self._world = world
        self._preparations = preparations
        self._chance = chance if chance is not None else random.Random()  # noqa: S311 - jitter only
        self._known: dict[str, Job] = {}  # all that are not terminal
        self._seq: int | None = None
        self._rung = True
        self._capacity = queueing.effective(jobs.capacity())
        self._touched: dict[str, None] = {}  # to be considered, in order
        self._changed: set[str] = set()  # to be told of
        self._queue = queueing.Queue()
        self._attending: dict[str, Attending] = {}
        self._preparing: set[str] = set()
        self._prepared: set[str] = set()
        self._dependents: dict[str, set[str]] = {}
        self._able_since: dict[str, Moment] = {}  # since when nothing but room has been missing
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers = Timers(self._wake_up)
        self._expiries = Timers(self._wake_up)
        self._pauses = pauses()
        self._wake = asyncio.Event()
        self._resting = asyncio.Event()

    def ring(self) -> None:
        """The store may have been changed by somebody else."""
        self._rung = True
        self._wake.set()

    @property
    def idle(self) -> bool:
        """Whether nothing will happen without a ring: nothing runs, nothing is due but the end of kept jobs."""
        pending = self._rung or self._touched or self._queue or self._timers or self._tasks
        return not (pending or self._wake.is_set() or self._world.busy)

    async def until_idle(self) -> None:
        """Wait until it is idle. By the time the caller goes on it may have something to do again."""
        while not self.idle:
            self._resting.clear()
            await self._resting.wait()

    async def run(self) -> None:
        """Supervise until cancelled. The attempts go on then, and whoever supervises next adopts them.

        Raises:
            StoreGoneError: the store was moved, replaced or removed.

        """
        self._world.open(self.ring)
        try:
            while True:
                self._wake.clear()
                self._turn()
                if self.idle:
                    self._resting.set()
                await asyncio.sleep(0)  # where it is awake already, waiting would give nobody else a turn
                await self._wake.wait()
        finally:
            self._timers.close()
            self._expiries.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            if self._preparations is not None:
                await self._preparations.close()
            await self._world.close()

    # -- one turn -----------------------------------------------------------------------------

    def _wake_up(self) -> None:
        self._wake.set()

    def _turn(self) -> None:
        self._tell_changed()  # what the attendants have written: nobody waits until others have been started
        for submission_id in self._timers.take():
            if submission_id in self._known:
                self._touch(submission_id)
        try:
            if self._rung:
                self._look()
            while self._touched:
                submission_id = next(iter(self._touched))
                if submission_id in self._known:
                    self._consider(self._known[submission_id])
                self._touched.pop(submission_id, None)
            self._start()
            if self._expiries.take():
                self._expire()
            self._pauses = pauses()
        except StoreGoneError:
            raise  # whoever finds it, or a new one, supervises that
        except StoreError as error:
            self._world.tell(f"the store can't be used, and is asked again: {error}")
            self._turn_again()
        except Exception as error:  # noqa: BLE001 - a fault of ours: the other jobs' ends are seen all the same
            self._world.tell(f"what is to be started can't be found out, and is looked at again: {error!r}")
            self._turn_again()
        finally:
            self._tell_changed()

    def _turn_again(self) -> None:
        self._rung = True
        self._timers.set(_STORE, next(self._pauses))
        self._wake.clear()

    def _tell_changed(self) -> None:
        if self._changed and self.on_change is not None:
            changed, self._changed = self._changed, set()
            self.on_change(changed)

    def _look(self) -> None:
        """Read what has changed since the last look; the first time, all that is not over."""
        if self._seq is None:
            seq, found = self._jobs.last_seq(), self._jobs.unfinished()
            self._world.deliver()
            for submission_id, why in self._jobs.unreadable():
                self._world.tell(f"{submission_id} is left alone: {why}")
            if self._preparations is not None:
                self._in_background(self._preparations.recover(self._needs), _STORE)
        else:
            found = self._jobs.changed(self._seq)
            seq = max([self._seq, *(job.seq for job in found)])
        self._capacity = queueing.effective(self._jobs.capacity())
        self._rung = False
        self._seq = seq
        self._expiries.set(_STORE, 0.0)
        for job in found:
            self._see(job)

    def _see(self, job: Job) -> None:
        """JOB is like this now, whoever has changed it."""
        known = self._known.get(job.submission_id)
        if known is not None and known.seq > job.seq:
            return
        self._changed.add(job.submission_id)
        if job.phase.terminal:
            self._forget(job)
        else:
            self._known[job.submission_id] = self._of_this_boot(job)
            self._touch(job.submission_id)

    def _of_this_boot(self, job: Job) -> Job:
        """After a reboot, a moment of the one before is turned into one that our clock comes to."""
        now = self._world.now()
        due, deadline = (None if one is None else now.here(one) for one in (job.due, job.deadline))
        return job if (due, deadline) == (job.due, job.deadline) else replace(job, due=due, deadline=deadline)

    def _touch(self, submission_id: str) -> None:
        self._touched[submission_id] = None
        self._wake.set()

    def _forget(self, job: Job) -> None:
        """JOB is terminal: others may have waited for that."""
        submission_id = job.submission_id
        known = self._known.pop(submission_id, None)
        if submission_id not in self._attending:
            self._queue.leave(submission_id)
        self._timers.clear(submission_id)
        self._prepared.discard(submission_id)
        self._able_since.pop(submission_id, None)
        for other in self._dependents.pop(submission_id, ()):
            self._touch(other)
        if job.submission.sinks:
            self._world.deliver()
        if known is not None and job.request.preparation is not None:
            self._release(job.request.preparation)
        if job.request.ttl_after_finished is not None:
            self._expiries.set(_STORE, job.request.ttl_after_finished)
        self._wake.set()

    # -- a job that is not over ---------------------------------------------------------------

    def _consider(self, job: Job) -> None:
        """Have happen what is wanted of JOB: it follows from how it is, never from how it became so."""
        submission_id = job.submission_id
        self._timers.clear(submission_id)
        attending = self._attending.get(submission_id)
        if attending is not None:
            if job.active:
                attending.look(job)
            return  # else its end is written, and it is considered again when the attendant has gone
        self._queue.leave(submission_id)
        try:
            if job.active:
                self._attend(job)
            else:
                self._consider_inactive(job)
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 - one job's trouble is not the others'
            self._in_trouble(submission_id, error)

    def _in_trouble(self, submission_id: str, error: Exception) -> None:
        """A job that can't be seen to now is looked at again; one that was deleted never."""
        if isinstance(error, UsageError) and self._jobs.job(submission_id) is None:
            self._known.pop(submission_id, None)
            self._queue.leave(submission_id)
        else:
            self._later(submission_id, error)

    def _consider_inactive(self, job: Job) -> None:
        now = self._world.now()
        if job.stop is not None:
            self._decide(job, killed(job, job.stop, now))
        elif job.phase is Phase.SUSPENDED:
            return
        elif job.suspend:
            self._see(self._jobs.park(job.submission_id, now))
        elif job.deadline is not None and now.until(job.deadline) <= 0:
            self._decide(job, overdue(job, Reason.DEADLINE_EXCEEDED, now))
        else:
            if job.deadline is not None:
                self._timers.set(job.submission_id, now.until(job.deadline))
            if self._may_follow(job, now) and self._is_due(job, now) and self._is_in_time(job, now):
                if self._is_prepared(job):
                    self._queue.wait(job)
                return
        self._able_since.pop(job.submission_id, None)

    def _may_follow(self, job: Job, now: Moment) -> bool:
        """Whether all that it is to come after have ended as they should. One that did not fails it."""
        for dependency in job.request.after:
            before = dependency.submission_id
            try:
                other = self._known.get(before) or self._jobs.job(before)
            except StoreError:  # this version may not be able to read it: how it ended is not known, then
                self._timers.set(job.submission_id, _LATER)
                return False
            if other is not None and not other.phase.terminal:
                self._dependents.setdefault(before, set()).add(job.submission_id)
                return False
            ended = "deleted" if other is None else other.phase.value
            if dependency.condition is Condition.FINISHED and ended != Phase.FINISHED.value:
                self._decide(job, dependency_outcome(job, before, ended, now))
                return False
        return True

    def _is_due(self, job: Job, now: Moment) -> bool:
        if job.due is None or now.until(job.due) <= 0:
            return True
        self._timers.set(job.submission_id, now.until(job.due))
        return False

    def _is_in_time(self, job: Job, now: Moment) -> bool:
        """Whether a job that only waits for room, or its environment, may go on doing so."""
        timeout = job.request.start_timeout
        if timeout is None:
            return True
        left = now.until(self._able_since.setdefault(job.submission_id, now).after(timeout))
        if left <= 0:
            self._decide(job, overdue(job, Reason.START_TIMEOUT, now))
            return False
        self._timers.set(job.submission_id, left)
        return True

    def _decide(self, job: Job, outcome: Outcome) -> None:
        """Decide a job that has no active attempt."""
        try:
            decided = self._jobs.decide(job.submission_id, None, outcome, None, self._world.now())
        except AlreadyDecidedError:
            self._see_stored(job.submission_id)
            return
        self._see(decided)
        self._tell_plugins(decided, outcome)

    def _see_stored(self, submission_id: str) -> None:
        found = self._jobs.job(submission_id)
        if found is not None:
            self._see(found)
        else:  # deleted meanwhile
            self._known.pop(submission_id, None)

    # -- environments -------------------------------------------------------------------------

    def _is_prepared(self, job: Job) -> bool:
        preparation, preparations = job.request.preparation, self._preparations
        if preparation is None or preparations is None or job.submission_id in self._prepared:
            return True
        if job.submission_id not in self._preparing:
            self._preparing.add(job.submission_id)
            self._in_background(self._prepare(preparations, preparation, job.submission_id), job.submission_id)
        return False

    async def _prepare(self, preparations: Preparations, preparation: Preparation, submission_id: str) -> None:
        try:
            job = self._known[submission_id]
            context = self._jobs.context(submission_id)
            why = await preparations.ready(
                preparation, submission_id, lambda argv: self._world.command(job, context, argv)
            )
        finally:
            self._preparing.discard(submission_id)
        known = self._known.get(submission_id)
        if not why:
            self._prepared.add(submission_id)
        elif known is not None and not known.active:
            self._decide(known, outcomes.never_started(why, known.submission, at=self._world.now().wall))

    def _release(self, preparation: Preparation) -> None:
        """Have an environment cleaned up, if nobody needs it any more."""
        if self._preparations is not None and not self._needs(preparation.key):
            released = self._preparations.released(preparation, lambda: self._needs(preparation.key))
            self._in_background(released, _STORE)

    def _needs(self, key: str) -> bool:
        """Whether a job that is not over names the environment KEY."""
        wanted = (job.request.preparation for job in self._known.values())
        return any(one is not None and one.key == key for one in wanted)

    # -- attempts -----------------------------------------------------------------------------

    def _start(self) -> None:
        """Begin as many of those that wait as there is room for."""
        startable = self._queue.startable(self._capacity, _AT_ONCE)
        if len(startable) == _AT_ONCE:
            self._wake.set()  # there may be more
        for submission_id in startable:
            try:
                self._begin(self._known[submission_id])
            except StoreError:
                raise
            except Exception as error:  # noqa: BLE001 - as in _consider
                self._queue.leave(submission_id)
                self._in_trouble(submission_id, error)

    def _begin(self, job: Job) -> None:
        now = self._world.now()
        begun = self._jobs.begin(job.submission_id, _deadline(job, now), now)
        if begun is None:
            self._queue.leave(job.submission_id)
            self._see_stored(job.submission_id)
        else:
            self._see(begun)
            self._attend(begun)

    def _attend(self, job: Job) -> None:
        attending = Attending(job, self._jobs, self._world, self._chance, self._see_attended)
        self._attending[job.submission_id] = attending
        self._able_since.pop(job.submission_id, None)
        self._queue.run(job)
        self._in_background(self._attended(attending), job.submission_id)

    async def _attended(self, attending: Attending) -> None:
        try:
            await attending.run()
        finally:
            self._queue.leave(attending.job.submission_id)
            del self._attending[attending.job.submission_id]

    def _see_attended(self, job: Job, outcome: Outcome | None) -> None:
        """An attendant has changed JOB; OUTCOME is of its attempt, if that has ended."""
        known = self._known.get(job.submission_id)
        self._see(job)
        if known is None or known.phase is not job.phase:
            self._tell_plugins(job, outcome)

    def _tell_plugins(self, job: Job, outcome: Outcome | None) -> None:
        kinds = {Phase.RUNNING: EventKind.ATTEMPT_STARTED, Phase.RETRYING: EventKind.RETRYING}
        kind = EventKind.TERMINAL if job.phase.terminal else kinds.get(job.phase)
        if kind is not None:
            ended = outcome if kind is EventKind.TERMINAL else None
            self._world.event(Event(kind, job.submission, max(1, job.attempt), self._world.now().wall, ended))

    # -- the rest -----------------------------------------------------------------------------

    def _expire(self) -> None:
        """Forget the jobs that have been kept long enough, and look again when the next one's time is over."""
        now = self._world.now()
        found = self._jobs.expired(now)
        if found:
            self._in_background(self._discard(found), _STORE)
        left = self._jobs.next_expiry(now)
        if left is not None:
            self._expiries.set(_STORE, left)

    async def _discard(self, submission_ids: list[str]) -> None:
        for submission_id in submission_ids:
            try:
                job = self._jobs.job(submission_id)
                if job is None:
                    continue
                await self._world.discard(job)
                self._jobs.delete(submission_id)
            except (RaydpWrapError, OSError) as error:
                self._world.tell(f"{submission_id}, whose time is over, can't be removed now: {error}")
            else:
                self._expiries.set(_STORE, 0.0)  # there may be more than were listed

    def _in_background(self, work: Coroutine[object, object, None], submission_id: str) -> None:
        """Have WORK done; the job it is for is considered again afterwards. It may fail, which loses no job."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)

        def done(_: object) -> None:
            self._tasks.discard(task)
            if task.cancelled():
                return
            if (error := task.exception()) is not None:
                self._later(submission_id, error)
            elif submission_id in self._known:
                self._touch(submission_id)
            self._wake.set()

        task.add_done_callback(done)

    def _later(self, submission_id: str, error: BaseException) -> None:
        """What failed unforeseen is looked at again: its job must not be left behind."""
        why = str(error) if isinstance(error, RaydpWrapError) else repr(error)
        self._world.tell(f"{submission_id or 'a clean-up'}: {why}")
        if submission_id in self._known:
            self._timers.set(submission_id, _AGAIN)


def _deadline(job: Job, now: Moment) -> Moment | None:
    """The active deadline of a job whose next attempt begins now."""
    if job.deadline is not None:
        return job.deadline
    left = job.request.active_deadline if job.deadline_left is None else job.deadline_left
    return None if left is None else now.after(left)
