"""Runtime environments: set up once for all jobs that name the same key, and cleaned up when none needs them any more.

Each command is an attempt of its own under a guard, which keeps its time: it goes on when the supervisor dies, and the
next supervisor adopts it. What is stored says where an environment stands; what is kept beside it says how to clean up.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import time
from dataclasses import replace
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from raydp_wrap import notes
from raydp_wrap import outcome as outcomes
from raydp_wrap.diagnostics import bounded, summary
from raydp_wrap.diagnostics.reading import LIMIT
from raydp_wrap.errors import RaydpWrapError, StartError, UsageError
from raydp_wrap.model import Attempt, Launch, Limits, Reason, Submission, TerminalState
from raydp_wrap.process import private_directory
from raydp_wrap.store.preparations import Prepared
from raydp_wrap.supervisor.attending import pauses

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from raydp_wrap.backend import Backend, Running
    from raydp_wrap.model import Outcome
    from raydp_wrap.request import Preparation

__all__ = ["CLEANED", "CLEANING", "FAILED", "PREPARING", "READY", "PreparationStore", "Preparations"]

PREPARING: Final = "PREPARING"
READY: Final = "READY"
FAILED: Final = "FAILED"
CLEANING: Final = "CLEANING"
CLEANED: Final = "CLEANED"

_MOST_ERROR = 2048  # bytes
_MOST_SENTENCE = 700
_MOST_NOTE = 16 << 20
_PREFIX = "prepare."
_KEPT = ("argv", "executable", "env", "cwd", "name", "nofile", "umask")  # of a cleanup's launch


class PreparationStore(Protocol):
    """Where environments stand: :class:`raydp_wrap.store.preparations.Preparations`. Both may raise StoreError."""

    def get(self, key: str) -> Prepared | None:
        """What is known of the environment."""

    def put(self, expected: str | None, new: Prepared) -> bool:
        """Keep NEW if the state by now is EXPECTED (None: nothing is known); whether it was kept."""


class _Step(Enum):
    """A command of an environment; the value is its attempt's number."""

    VERIFY = 1
    SETUP = 2
    VERIFY_AGAIN = 3
    CLEANUP = 4


_WORDS = {
    _Step.VERIFY: "verify command",
    _Step.SETUP: "setup",
    _Step.VERIFY_AGAIN: "verify command, run again after its setup,",
    _Step.CLEANUP: "cleanup",
}


class Preparations:
    """The environments of a home: STORE has their states, BACKEND runs their commands, DIRECTORY keeps what is owed.

    TELL is given sentences for the operator. All methods are called from the event loop's thread.

    Raises:
        UsageError: DIRECTORY can't be private; see :func:`raydp_wrap.process.private_directory`.

    """

    def __init__(
        self,
        store: PreparationStore,
        backend: Backend,
        directory: str | os.PathLike[str],
        *,
        tell: Callable[[str], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._backend = backend
        self._directory = private_directory(directory)
        self._tell = tell
        self._clock = clock
        self._preparing: dict[str, asyncio.Task[None]] = {}
        self._cleaning: dict[str, asyncio.Task[None]] = {}
        self._given_up: set[asyncio.Task[None]] = set()
        self._closed = False

    # -- what a supervisor asks for -----------------------------------------------------------

    async def ready(self, preparation: Preparation, job_id: str, launch_for: Callable[[Sequence[str]], Launch]) -> str:
        """Have the environment ready; "" it is, else why it can't be: a sentence, and the last lines of the output.

        Called for each job before its attempts, as often as one likes; LAUNCH_FOR makes a command's launch, in job
        JOB_ID's directory and environment. The first caller's are used, the others wait. What failed once, or took
        too long, has failed for all, until it is cleaned up or forgotten. Where the job ends meanwhile,
        :meth:`released` ends this, too.

        Raises:
            RaydpWrapError, StoreError: it can't be told now. It is called again later.

        """
        key, digest = preparation.key, _digest(preparation)
        while True:
            found = self._store.get(key)
            state = CLEANED if found is None else found.state
            if found is not None and state in (PREPARING, READY, FAILED) and found.digest != digest:
                return (
                    f"the environment {key!r} has other commands in job {found.submission_id}: use another"
                    " key, or submit it when the jobs that use that one have ended."
                )
            if found is not None and state in (READY, FAILED):
                return found.error if state == FAILED else ""
            if state == CLEANING:
                await self._join(self._cleaning, key, self._clean(key))
            elif not await self._join(self._preparing, key, self._prepare(preparation, job_id, launch_for)):
                return f"no job needs the environment {key!r} any more."

    async def released(self, preparation: Preparation, needed: Callable[[], bool]) -> None:
        """Clean the environment up, if it is not NEEDED.

        Called whenever a job that names it has ended, whether it was ready or not. NEEDED is asked again at the last
        moment. Its cleanup runs at most once; a job that comes later has it prepared anew.

        Raises:
            RaydpWrapError, StoreError: it can't be done now. It is called again later.

        """
        await self._release(preparation.key, needed)

    async def recover(self, needed: Callable[[str], bool]) -> None:
        """Clean up what nobody needs: what a supervisor has left that died before it could.

        Called once, at a supervisor's start. NEEDED is given a key.

        Raises:
            RaydpWrapError, StoreError: as in :meth:`released`.

        """
        for path in sorted(self._directory.glob(f"{_PREFIX}*[!p]")):  # not what was being written: *.tmp
            owed = self._owed(path.name)
            if owed is not None:
                await self._release(str(owed["key"]), partial(needed, str(owed["key"])))

    def forget(self, key: str) -> None:
        """Have the environment prepared anew for the next job that names it; nothing is cleaned up.

        Raises:
            UsageError: it is just being prepared or cleaned up.

        """
        found = self._store.get(key)
        if found is None:
            return
        if found.state in (PREPARING, CLEANING):
            raise UsageError(
                f"the environment {key!r} is {found.state.lower()} just now: wait for that, and try again."
            )
        self._store.put(found.state, replace(found, state=CLEANED, at=self._clock()))

    async def close(self) -> None:
        """Let go of all: what runs goes on, and whoever supervises next adopts it. Called once, last."""
        self._closed = True
        tasks = [*self._preparing.values(), *self._cleaning.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- one task for each environment --------------------------------------------------------

    async def _join(self, tasks: dict[str, asyncio.Task[None]], key: str, work: Coroutine[Any, Any, None]) -> bool:
        """Have WORK done as one of TASKS, or wait for what is being done. Who is cancelled here cancels nothing.

        False: it was given up while we waited, as nobody needed it.
        """
        task = self._preparing.get(key) or self._cleaning.get(key)
        if task is not None or self._closed:
            work.close()
        if self._closed:
            raise asyncio.CancelledError
        if task is None:
            task = tasks[key] = asyncio.get_running_loop().create_task(work)

            def done(task: asyncio.Task[None]) -> None:
                del tasks[key]
                self._given_up.discard(task)
                if not task.cancelled():
                    task.exception()  # for whoever still waits; that may be nobody

            task.add_done_callback(done)
        came_late = task in self._given_up
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()
            return True
        if self._closed:
            raise asyncio.CancelledError
        return came_late

    async def _release(self, key: str, needed: Callable[[], bool]) -> None:
        while not needed() and not self._closed:
            found = self._store.get(key)
            task = self._preparing.get(key)
            if task is not None:
                # Who waits for it is of no job that counts. Who comes from now on goes on from where it stands.
                self._given_up.add(task)
                task.cancel()
                await asyncio.wait([task])
            elif found is None or found.state == CLEANED:
                self._settle(key)
                return
            else:
                await self._join(self._cleaning, key, self._clean(key))

    async def _prepare(
        self, preparation: Preparation, job_id: str, launch_for: Callable[[Sequence[str]], Launch]
    ) -> None:
        """Prepare it; or go on with what a supervisor before has begun: each step is adopted, not run again."""
        key = preparation.key
        found = self._store.get(key)
        if found is None or found.state == CLEANED:
            await self._begin(preparation, launch_for)
            begun = Prepared(key, PREPARING, job_id, _digest(preparation), "", self._clock())
            if not self._store.put(None if found is None else CLEANED, begun):
                return
            found = begun
        error = await self._steps(preparation, launch_for)
        state = FAILED if error else READY
        self._store.put(PREPARING, replace(found, state=state, error=error, at=self._clock()))

    async def _begin(self, preparation: Preparation, launch_for: Callable[[Sequence[str]], Launch]) -> None:
        """Give up what is left of the time before, and keep what is owed from now on."""
        key = preparation.key
        for step in _Step:
            await self._give_up(key, step)
        launch = _to_dict(launch_for(preparation.cleanup)) if preparation.cleanup else None
        owed = {"key": key, "cleanup": launch, "timeout": preparation.timeout}
        if not notes.write(self._directory, _id(key), json.dumps(owed).encode("ascii")):
            raise RaydpWrapError(f"{self._directory} can't be written to: make room there.")

    async def _steps(self, preparation: Preparation, launch_for: Callable[[Sequence[str]], Launch]) -> str:
        """Why it can't be used; "" it can."""

        async def run(step: _Step, argv: Sequence[str]) -> str:
            why = await self._run(preparation.key, step, launch_for(argv), preparation.timeout)
            # Lost with the machine, or its guard: nobody can tell that it failed.
            if why is None:
                await self._give_up(preparation.key, step)
                why = await self._run(preparation.key, step, launch_for(argv), preparation.timeout)
            return _nobody_knows(preparation.key, step) if why is None else why

        if not preparation.setup:
            return ""
        if preparation.verify and not await run(_Step.VERIFY, preparation.verify):
            return ""
        why = await run(_Step.SETUP, preparation.setup)
        if not why and preparation.verify:
            why = await run(_Step.VERIFY_AGAIN, preparation.verify)
        return why

    async def _clean(self, key: str) -> None:
        """Clean it up; or go on where a supervisor before has begun to."""
        found = self._store.get(key)
        if found is None or found.state == CLEANED:
            return
        if found.state == PREPARING:
            for step in (_Step.VERIFY, _Step.SETUP, _Step.VERIFY_AGAIN):
                await self._end(key, step)
        if found.state != CLEANING:
            cleaning = replace(found, state=CLEANING, at=self._clock())
            if not self._store.put(found.state, cleaning):
                return
            found = cleaning
        error = found.error
        owed = self._owed(_id(key))
        if owed is not None and owed["cleanup"] is not None:
            why = await self._run(key, _Step.CLEANUP, _from_dict(owed["cleanup"]), float(owed["timeout"]))
            why = _nobody_knows(key, _Step.CLEANUP) if why is None else why
            if why:
                self._tell(why)
            error = error or why
        if self._store.put(CLEANING, replace(found, state=CLEANED, error=error, at=self._clock())):
            self._settle(key)

    # -- one command --------------------------------------------------------------------------

    async def _run(self, key: str, step: _Step, launch: Launch, timeout: float) -> str | None:
        """Run a command, or adopt it; "" it went well, else what is to be said of it; None: it was lost."""
        limits = Limits(active_deadline=timeout, log_limit=LIMIT)
        attempt = self._attempt(key, step)
        for pause in pauses():
            try:
                running = await self._backend.launch(attempt, launch, limits)
                break
            except (StartError, UsageError) as error:
                return _sentence(key, step, f"can't be started ({str(error).rstrip('.')})")
            except RaydpWrapError as error:
                self._tell(f"the environment {key!r}: {error}")
            await asyncio.sleep(pause)
        try:
            ended = await _end_of(running, attempt)
            if ended.state is TerminalState.FINISHED:
                return ""
            if ended.reason is Reason.JOB_LOST:
                return None
            said = _sentence(key, step, _how(ended, timeout))
            lines = summary(await _last_output(running))
        finally:
            await running.close()
        left = _MOST_ERROR - len(said.encode()) - 1
        return f"{said}\n{bounded(lines, left)}" if lines else said

    async def _end(self, key: str, step: _Step) -> None:
        """End a command that nobody waits for any more, if it runs."""
        attempt = self._attempt(key, step)
        running = await self._backend.restore(attempt, {})
        try:
            await running.stop(label="no job needs the environment")
            await _end_of(running, attempt)
        finally:
            await running.close()

    async def _give_up(self, key: str, step: _Step) -> None:
        """Have the command run anew, when it is run next."""
        try:
            await self._backend.forget(self._attempt(key, step), {})
        except OSError as error:
            # Its end would be taken for the next one's.
            raise RaydpWrapError(
                f"what {_id(key)}.{step.value} has left can't be removed ({error.strerror}): remove it."
            ) from error

    def _attempt(self, key: str, step: _Step) -> Attempt:
        return Attempt(_id(key), step.value, self._clock())

    # -- what is owed -------------------------------------------------------------------------

    def _owed(self, name: str) -> dict[str, Any] | None:
        """What is to be done at the end, as it was written before the beginning."""
        data = notes.read(self._directory, name, _MOST_NOTE)
        try:
            found = json.loads(data or b"null")
        except ValueError:
            return None
        return found if isinstance(found, dict) and "key" in found else None

    def _settle(self, key: str) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self._directory / _id(key))


async def _end_of(running: Running, attempt: Attempt) -> Outcome:
    async for seen in running.observe():
        if seen.ended:
            submission = Submission(attempt.submission_id, "", attempt.created_at)
            return outcomes.decide(seen.evidence, submission, attempt=attempt.number)
    raise RaydpWrapError(f"the backend of {attempt.submission_id} ended without saying how.")


async def _last_output(running: Running) -> bytes:
    kept = b""
    with contextlib.suppress(RaydpWrapError, OSError):
        async for chunk in running.logs():
            kept = (kept + chunk)[-LIMIT:]
    return kept


def _how(ended: Outcome, timeout: float) -> str:
    if ended.reason is Reason.DEADLINE_EXCEEDED:
        return f"took longer than {timeout:g} s"
    if ended.signal is not None:
        return f"was ended by {outcomes.signal_name(ended.signal)}"
    return f"exited with {ended.exit_code}"


def _sentence(key: str, step: _Step, how: str) -> str:
    what = "is not cleaned up" if step is _Step.CLEANUP else "can't be used"
    return bounded(f"the environment {key!r} {what}: its {_WORDS[step]} {how}.", _MOST_SENTENCE)


def _nobody_knows(key: str, step: _Step) -> str:
    return _sentence(key, step, "was lost: nobody saw how it ended")


def _id(key: str) -> str:
    """The submission id of the commands: a directory's name."""
    return f"{_PREFIX}{hashlib.sha256(key.encode()).hexdigest()[:24]}"


def _digest(preparation: Preparation) -> str:
    commands = [preparation.setup, preparation.verify, preparation.cleanup]
    return hashlib.sha256(json.dumps(commands).encode("ascii")).hexdigest()


def _to_dict(launch: Launch) -> dict[str, Any]:
    env = None if launch.env is None else dict(launch.env)
    return {name: getattr(launch, name) for name in _KEPT} | {"env": env}


def _from_dict(raw: dict[str, Any]) -> Launch:
    return Launch(**{**{name: raw[name] for name in _KEPT}, "argv": tuple(raw["argv"])})
