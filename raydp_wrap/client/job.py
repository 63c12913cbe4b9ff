"""One job, in its submitter's hands, or in those of whoever has looked it up."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from raydp_wrap import checks
from raydp_wrap.errors import (
    AlreadyDecidedError,
    JobFailedError,
    StoreFullError,
    SupervisorError,
    WaitTimeoutError,
)
from raydp_wrap.job import StopWish
from raydp_wrap.model import TerminalState
from raydp_wrap.moment import Moment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator, Iterator

    from raydp_wrap.client.access import Access
    from raydp_wrap.job import Change
    from raydp_wrap.job import Job as Status
    from raydp_wrap.local.output import Chunk
    from raydp_wrap.model import Attempt, Outcome
    from raydp_wrap.request import Phase

__all__ = ["Job"]

_LATEST = 1e11  # seconds since the epoch


class Job:
    r"""A job. Made by :meth:`Client.submit`, :meth:`Client.job` and their kind; cheap, and for any thread.

    Nothing of it is remembered: whatever is asked is looked up in the store, and is true for every process. Two that
    are of one id are equal. In an event loop ``await job`` waits for its outcome.

    >>> job = submit(["sh", "-c", "echo hello; exit 3"], name="greeter")
    >>> job.wait().state.value
    'FAILED'
    >>> job.exit_code
    3
    >>> b"".join(job.logs())
    b'hello\n'

    Every method may raise StoreError, and UsageError where the job was deleted.
    """

    def __init__(self, access: Access, submission_id: str, name: str) -> None:
        """Not for callers: ask a client."""
        self._access = access
        self._id = submission_id
        self._name = name

    @property
    def id(self) -> str:
        """Its submission id."""
        return self._id

    @property
    def name(self) -> str:
        """What it was called."""
        return self._name

    def status(self) -> Status:
        """All that is known of it now."""
        return self._access.status(self._id)

    @property
    def phase(self) -> Phase:
        """Where it stands now."""
        return self.status().phase

    @property
    def outcome(self) -> Outcome | None:
        """How it ended; None until then."""
        found = self._access.store.outcome(self._id)
        if found is None:
            self.status()  # one that is no more has no outcome, and will have none
        return found

    def done(self) -> bool:
        """Whether it has ended."""
        return self.phase.terminal

    @property
    def exit_code(self) -> int | None:
        """What it exited with; None until it has ended, and where a signal ended it (see :attr:`outcome`)."""
        found = self.outcome
        return None if found is None else found.exit_code

    def history(self) -> list[tuple[Attempt, Outcome | None]]:
        """Its attempts, oldest first, with their ends; of all but the last, the diagnostics are cut short."""
        return self._access.jobs.history(self._id)

    def changes(self) -> list[Change]:
        """What has happened to it until now, oldest first; the first thousand."""
        return self._access.jobs.changes(0, self._id)

    def why_waiting(self) -> str:
        """What it waits for, as a clause; "" if it doesn't wait to be started.

        >>> submit(["true"], suspend=True).why_waiting()
        'it is suspended: resume it'
        """
        from raydp_wrap.supervisor.queueing import effective, why_waiting  # noqa: PLC0415 - only who asks

        jobs = self._access.jobs
        return why_waiting(self.status(), jobs.unfinished(), effective(jobs.capacity()), Moment.now())

    # -- waiting ------------------------------------------------------------------------------

    def wait(self, timeout: float | None = None) -> Outcome:
        """Wait until it has ended. Ctrl-C is let through at once; the job goes on then.

        >>> submit(["true"]).wait().state.value
        'FINISHED'

        Raises:
            WaitTimeoutError: it had not ended after TIMEOUT seconds.
            SupervisorError: nobody is there to supervise it, nor can be started.

        """
        found = self.outcome
        if found is not None:
            return found
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._access.watching(self._id) as watching:
            while True:
                found = self.outcome
                if found is not None:
                    return found
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise WaitTimeoutError(f"job {self._id} has not ended within {timeout} s")
                watching.wait(left)

    def __await__(self) -> Generator[None, None, Outcome]:
        """Wait until it has ended, while the event loop goes on. Raises SupervisorError as :meth:`wait`."""
        return self._ended().__await__()

    async def _ended(self) -> Outcome:
        found = self.outcome
        if found is not None:
            return found
        async with self._access.gathering().waiter(self._id) as waiter:
            while (found := self.outcome) is None:
                await waiter.changed()
            return found

    def result(self, timeout: float | None = None) -> Outcome:
        """Wait for a success.

        >>> submit(["false"]).result()
        Traceback (most recent call last):
        raydp_wrap.errors.JobFailedError: ...

        Raises:
            JobFailedError: it FAILED, or was KILLED; ``error.outcome`` says how.
            WaitTimeoutError, SupervisorError: as :meth:`wait`.

        """
        found = self.wait(timeout)
        if found.state is not TerminalState.FINISHED:
            why = found.diagnostics.partition("\n")[0] or "nobody knows why"
            raise JobFailedError(f"job {self._id} is {found.state.value}: {why}", found)
        return found

    # -- wishes -------------------------------------------------------------------------------

    def stop(self, grace: float | None = None, label: str | None = None) -> bool:
        """Ask it to end, and force it to after GRACE seconds (None: its own); False if it has ended already.

        Before its start it is KILLED at once, and never runs. LABEL says in its diagnostics who asked. Where the disk
        is too full to write the request down, the guard of its attempt is asked: that one may be what fills it.

        >>> job = submit(["sleep", "1000"])
        >>> job.stop(label="the documentation")
        True
        >>> job.wait().state.value
        'KILLED'

        Raises:
            SupervisorError: nobody is there to do it, nor can be started. Nothing was asked for.

        """
        from raydp_wrap.supervisor.verdict import killed  # noqa: PLC0415 - only who stops

        status, now = self.status(), Moment.now()
        if status.phase.terminal:
            return False
        wish = StopWish(now.wall, os.getpid(), os.getuid(), _label(label), grace)
        try:
            with self._access.changing():
                self._access.jobs.stop(self._id, wish, killed(status, wish, now), now)
        except AlreadyDecidedError:
            return False
        except (StoreFullError, SupervisorError):
            from raydp_wrap.client.stopping import stop_by_guard  # noqa: PLC0415 - rare

            if not stop_by_guard(self._access.home, status, grace, wish.label):
                raise
        return True

    def suspend(self, label: str | None = None) -> None:
        """Have it give up what it takes: its attempt is ended, and another one begins when it is resumed.

        Raises:
            AlreadyDecidedError: it has ended.
            SupervisorError: as :meth:`stop`.

        """
        with self._access.changing():
            self._access.jobs.suspend(self._id, _label(label), Moment.now())

    def resume(self, label: str | None = None) -> None:
        """Take :meth:`suspend` back.

        Raises:
            UsageError: it is not suspended.
            AlreadyDecidedError, SupervisorError: as :meth:`suspend`.

        """
        with self._access.changing():
            self._access.jobs.resume(self._id, _label(label), Moment.now())

    def retry(self) -> Job:
        """Submit the same request again, as a new job, from this process's environment; it comes after no other job.

        Raises:
            UsageError: it can't be run any more as it was asked for.
            SupervisorError: as :meth:`stop`.

        """
        from dataclasses import replace  # noqa: PLC0415 - only here

        from raydp_wrap.client.submitting import submit  # noqa: PLC0415 - which makes jobs itself

        return submit(self._access, replace(self.status().request, after=()))

    # -- its output ---------------------------------------------------------------------------

    def logs(
        self,
        follow: bool = False,  # noqa: FBT001, FBT002 - as everybody writes it
        offset: int = 0,
        stream: str = "output",
        attempt: int | None = None,
        tail: int | None = None,
        since: float | None = None,
        begun: Callable[[int], object] | None = None,
    ) -> Iterator[Chunk]:
        r"""Yield its output in pieces of at most 64 KiB, each a ``bytes`` with its ``offset``.

        FOLLOW: wait for what comes, until it has ended; with retries, from one attempt to the next. STREAM is
        ``output`` (stdout, and stderr in it) or ``errors`` (stderr, where ``split_output`` was asked for). ATTEMPT
        is a number from 1, or -1 for the one before the last; None is the last. It begins at byte OFFSET, at the
        last TAIL lines, or at what was written after SINCE (seconds since the epoch), whichever is the latest.
        Nothing waits for whoever reads. BEGUN is called with the number of each attempt that is followed, before its
        first piece.

        >>> job = submit(["sh", "-c", "echo one; echo two; echo three"])
        >>> b"".join(job.logs(follow=True))
        b'one\ntwo\nthree\n'
        >>> b"".join(job.logs(tail=1))
        b'three\n'

        Raises:
            UsageError: there is no such stream or attempt, or it doesn't run on this machine.
            SupervisorError: as :meth:`wait`, where it is followed.

        """
        from raydp_wrap.client.reading import Reading  # noqa: PLC0415 - only who reads

        where = _where(offset, tail, since)
        reading = Reading(self._access, self._id, where, follow=follow, stream=stream, attempt=attempt, begun=begun)
        return reading.chunks()

    async def alogs(
        self,
        follow: bool = False,  # noqa: FBT001, FBT002 - as logs
        offset: int = 0,
        stream: str = "output",
        attempt: int | None = None,
        tail: int | None = None,
        since: float | None = None,
    ) -> AsyncIterator[Chunk]:
        """Yield what :meth:`logs` does, in an event loop, which goes on meanwhile."""
        import asyncio  # noqa: PLC0415 - only who has a loop
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - the same

        from raydp_wrap.client.reading import Reading  # noqa: PLC0415 - only who reads

        loop = asyncio.get_running_loop()
        where = _where(offset, tail, since)
        reading = Reading(self._access, self._id, where, follow=follow, stream=stream, attempt=attempt)
        chunks = reading.chunks()
        # A thread of its own: those of the loop are few, and this one waits for long.
        pool = ThreadPoolExecutor(1, "raydp-wrap logs")
        try:
            while (chunk := await loop.run_in_executor(pool, next, chunks, None)) is not None:
                yield chunk
        finally:
            reading.cancel()
            pool.submit(chunks.close)
            pool.shutdown(wait=False)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Job):
            return NotImplemented
        return (self._id, self._access.home) == (other._id, other._access.home)

    def __hash__(self) -> int:
        return hash(self._id)

    def __repr__(self) -> str:
        return f"<Job {self._id} {self._name!r}>"


def _where(offset: int, tail: int | None, since: float | None) -> tuple[int, int | None, float | None]:
    """Where to begin, if that is a place."""
    checks.whole("the offset", offset, 0, checks.MOST, "a number of bytes, from 0")
    if tail is not None:
        checks.whole("the number of lines", tail, 0, checks.MOST, "0 or more")
    if since is not None:
        checks.number("a time", since, 0, _LATEST, "seconds since the epoch")
    return offset, tail, since


def _label(label: str | None) -> str:
    return label if label is not None else f"pid {os.getpid()}, uid {os.getuid()}"
