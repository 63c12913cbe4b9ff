"""A backend in memory: attempts that do what a script says."""

from __future__ import annotations

import asyncio
import errno
import signal as signals
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from raydp_wrap.backend import Backend, Observation, Running
from raydp_wrap.errors import StartError
from raydp_wrap.model import Evidence, Rank, Reason, TerminalState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from raydp_wrap.model import Attempt, Launch, Limits

__all__ = ["AppId", "Clock", "FakeBackend", "Script"]


class Clock(Protocol):
    """What a fake backend needs of a clock; :class:`raydp_wrap.testing.FakeClock` is one."""

    def time(self) -> float:
        """Seconds since the epoch."""

    def monotonic(self) -> float:
        """Seconds, from anywhere."""

    async def wait_for(self, event: asyncio.Event, seconds: float | None) -> bool:
        """Wait until EVENT is set, at most SECONDS; whether it is."""


class _RealClock:
    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def wait_for(self, event: asyncio.Event, seconds: float | None) -> bool:
        try:
            return await asyncio.wait_for(event.wait(), seconds)
        except asyncio.TimeoutError:
            return event.is_set()


class AppId(str):
    """A step of a script: the cluster's name for the submission becomes known."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Script:
    """What an attempt does: its steps one after the other, then it ends, or runs until it is stopped.

    A step is output (bytes), a pause (seconds), or an :class:`AppId`. It ends with ``code``, or by ``signal``; with
    both None it doesn't end by itself. ``lost``: nobody sees how it ended. One that doesn't heed a stop runs until
    the grace is over. With ``start_error`` it doesn't start at all.
    """

    steps: tuple[bytes | float | AppId, ...] = ()
    code: int | None = None
    signal: int | None = None
    lost: bool = False
    heeds_stop: bool = True
    start_error: str | None = None


@dataclass(slots=True)
class _Job:
    """An attempt as its place has it, whoever holds it."""

    script: Script
    limits: Limits
    started_at: float
    since: float
    log: bytearray = field(default_factory=bytearray)
    app_id: str | None = None
    stop: Evidence | None = None
    grace: float | None = None
    up: bool = False
    evidence: tuple[Evidence, ...] = ()
    ended_at: float | None = None
    #: Set, and replaced by a new one, whenever something of the above has changed.
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    def change(self) -> None:
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()


class FakeBackend(Backend):
    """Runs nothing: each attempt does what SCRIPT (one for all, or what makes one) says, by CLOCK.

    ``launched`` holds each launch that started, in order. :meth:`again` is the backend of another process.
    Attempts go on as long as the event loop runs.
    """

    def __init__(
        self, script: Script | Callable[[Attempt, Launch], Script] | None = None, clock: Clock | None = None
    ) -> None:
        self._script = script if script is not None else Script(code=0)
        self._clock: Clock = clock if clock is not None else _RealClock()
        self._jobs: dict[tuple[str, int], _Job] = {}
        self.launched: list[tuple[Attempt, Launch, Limits]] = []

    def again(self) -> FakeBackend:
        """A backend with the same attempts, as another process would have it."""
        other = FakeBackend(self._script, self._clock)
        other._jobs, other.launched = self._jobs, self.launched
        return other

    async def launch(self, attempt: Attempt, launch: Launch, limits: Limits) -> FakeRunning:
        """Start ATTEMPT, or adopt it. Raises StartError, if the script says so."""
        key = (attempt.submission_id, attempt.number)
        job = self._jobs.get(key)
        if job is None:
            script = self._script if isinstance(self._script, Script) else self._script(attempt, launch)
            if script.start_error is not None:
                raise StartError(errno.ENOENT, script.start_error, launch.argv[0], stage="exec")
            job = self._jobs[key] = _Job(script, limits, self._clock.time(), self._clock.monotonic())
            self.launched.append((attempt, launch, limits))
            job.task = asyncio.get_running_loop().create_task(self._play(job))
        return FakeRunning(job, self._clock)

    async def restore(self, attempt: Attempt, saved: Mapping[str, Any]) -> FakeRunning:  # noqa: ARG002 - the contract's
        """Adopt ATTEMPT; one that is not there is lost."""
        job = self._jobs.get((attempt.submission_id, attempt.number))
        return FakeRunning(job if job is not None else self._lost_job(), self._clock)

    async def forget(self, attempt: Attempt, saved: Mapping[str, Any]) -> None:  # noqa: ARG002 - the contract's
        """Give ATTEMPT up."""
        self._jobs.pop((attempt.submission_id, attempt.number), None)

    def lose(self, attempt: Attempt) -> None:
        """Have ATTEMPT vanish, whatever it does."""
        job = self._jobs[attempt.submission_id, attempt.number]
        if job.task is not None:
            job.task.cancel()
        self._end(job, _lost(self._clock.time()))

    def _lost_job(self) -> _Job:
        from raydp_wrap.model import Limits  # noqa: PLC0415 - not for annotations only, here alone

        now = self._clock.time()
        return _Job(Script(), Limits(), now, self._clock.monotonic(), evidence=(_lost(now),), ended_at=now)

    async def _play(self, job: _Job) -> None:
        deadlines = asyncio.get_running_loop().create_task(self._keep_deadlines(job))
        try:
            await self._steps(job)
        finally:
            deadlines.cancel()

    async def _steps(self, job: _Job) -> None:
        script = job.script
        for step in script.steps:
            if isinstance(step, AppId):
                job.app_id = str(step)
            elif isinstance(step, bytes):
                job.log += step
            elif not await self._until_stopped(job, step):
                continue
            job.change()
            if job.stop is not None:
                break
        else:
            if script.lost or script.code is not None or script.signal is not None:
                self._end(job, self._of_script(script))
                return
        while not await self._until_stopped(job, None):
            pass
        await self._heed(job)

    async def _until_stopped(self, job: _Job, seconds: float | None) -> bool:
        """Wait SECONDS (None: as long as it takes) or until a stop was asked for; whether it was."""
        end = None if seconds is None else self._clock.monotonic() + seconds
        while job.stop is None:
            left = None if end is None else end - self._clock.monotonic()
            if left is not None and left <= 0:
                return False
            await self._clock.wait_for(job.changed, left)
        return True

    async def _heed(self, job: _Job) -> None:
        number = job.limits.stop_signal
        if not job.script.heeds_stop:
            number = int(signals.SIGKILL)
            asked_at = self._clock.monotonic()
            while (left := asked_at + (job.grace or 0.0) - self._clock.monotonic()) > 0:
                await self._clock.wait_for(job.changed, left)
        self._end(job, self._status(None, number))

    async def _keep_deadlines(self, job: _Job) -> None:
        limits = job.limits
        for seconds, reason in (
            (limits.start_deadline, Reason.START_TIMEOUT),
            (limits.active_deadline, Reason.DEADLINE_EXCEEDED),
        ):
            if seconds is None:
                continue
            while (left := job.since + seconds - self._clock.monotonic()) > 0:
                await self._clock.wait_for(job.changed, left)
            if reason is Reason.START_TIMEOUT and job.up:
                continue
            if job.stop is None:
                text = f"the deadline of {seconds:g} s was exceeded"
                job.stop = Evidence("fake", text, Rank.STOP, self._clock.time(), TerminalState.FAILED, reason=reason)
                job.grace = limits.grace
                job.change()
            return

    def _of_script(self, script: Script) -> Evidence:
        return _lost(self._clock.time()) if script.lost else self._status(script.code, script.signal)

    def _status(self, code: int | None, number: int | None) -> Evidence:
        text = f"ended by signal {number}" if number is not None else f"exited with {code}"
        state = TerminalState.FINISHED if code == 0 else TerminalState.FAILED
        reason = None if code == 0 else Reason.APP_FAILED
        return Evidence("fake", text, Rank.WAIT_STATUS, self._clock.time(), state, code, number, reason)

    def _end(self, job: _Job, status: Evidence) -> None:
        if job.ended_at is None:
            job.evidence = (status,) if job.stop is None else (job.stop, status)
            job.ended_at = self._clock.time()
            job.change()


def _lost(at: float) -> Evidence:
    return Evidence("fake", "it is gone", Rank.WAIT_STATUS, at, TerminalState.FAILED, reason=Reason.JOB_LOST)


class FakeRunning(Running):
    """One attempt of a :class:`FakeBackend`."""

    def __init__(self, job: _Job, clock: Clock) -> None:
        """Not for callers: see :meth:`FakeBackend.launch`."""
        self._job = job
        self._clock = clock

    def save(self) -> dict[str, Any]:
        """Nothing but what is known of it."""
        return {"app_id": self._job.app_id}

    async def observe(self) -> AsyncIterator[Observation]:
        """Yield that it runs, its app id, and how it ended."""
        job, app_id = self._job, None
        if job.ended_at is None:
            yield Observation(running=True, app_id=job.app_id, started_at=job.started_at)
            app_id = job.app_id
        while job.ended_at is None:
            changed = job.changed
            if job.app_id != app_id:
                app_id = job.app_id
                yield Observation(running=True, app_id=app_id, started_at=job.started_at)
                continue
            await changed.wait()
        yield Observation(
            app_id=job.app_id,
            ended=True,
            evidence=job.evidence,
            started_at=job.started_at,
            ended_at=job.ended_at,
        )

    async def stop(self, *, grace: float | None = None, label: str = "") -> None:
        """Ask it to end."""
        job = self._job
        if job.ended_at is not None:
            return
        grace = job.limits.grace if grace is None else grace
        if job.stop is None:
            text = f"a stop was asked for by {label or 'nobody in particular'}"
            job.stop = Evidence(
                "stop", text, Rank.STOP, self._clock.time(), TerminalState.KILLED, reason=Reason.STOP_REQUESTED
            )
            job.grace = grace
        else:
            job.grace = min(grace, job.grace if job.grace is not None else grace)
        job.change()

    async def ready(self) -> None:
        """Its start deadline is met."""
        self._job.up = True

    async def logs(self, *, offset: int = 0, follow: bool = False) -> AsyncIterator[bytes]:
        """Yield the output."""
        job = self._job
        while True:
            last, changed = not follow or job.ended_at is not None, job.changed
            chunk = bytes(job.log[offset:])
            if chunk:
                offset += len(chunk)
                yield chunk
            elif last:
                return
            else:
                await changed.wait()

    async def close(self) -> None:
        """Let go of it."""
