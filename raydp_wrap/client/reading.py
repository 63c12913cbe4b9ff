"""A job's output, from its files, attempt after attempt."""

from __future__ import annotations

import contextlib
import functools
import threading
from typing import TYPE_CHECKING

from raydp_wrap.errors import UsageError
from raydp_wrap.local import Output

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from raydp_wrap.client.access import Access, Watching
    from raydp_wrap.job import Job as Status
    from raydp_wrap.local.output import Chunk

__all__ = ["Reading"]

_LOCAL = "local"


class Reading:
    """Reads one job's output once, from WHERE (offset, tail, since) on; see :meth:`raydp_wrap.client.job.Job.logs`."""

    def __init__(
        self,
        access: Access,
        submission_id: str,
        where: tuple[int, int | None, float | None],
        *,
        follow: bool,
        stream: str,
        attempt: int | None,
        begun: Callable[[int], object] | None = None,
    ) -> None:
        self._access = access
        self._id = submission_id
        self._follow = follow
        self._stream = stream
        self._from = where
        self._on_attempt = begun
        self._lock = threading.Lock()
        self._cancelled = False
        self._watching: Watching | None = None
        status = access.status(submission_id)
        if status.request.backend != _LOCAL:
            raise UsageError(
                f"the output of {submission_id} is where it runs: ask its backend {status.request.backend}."
            )
        self._attempt = _number(status, attempt)

    def chunks(self) -> Generator[Chunk, None, None]:
        """Yield it. Raises as the output and the supervisor do."""
        if self._follow:
            yield from self._followed()
            return
        number = self._attempt or self._access.status(self._id).attempt
        with contextlib.ExitStack() as stack:
            output = self._opened(number)
            if output is None:
                return
            stack.enter_context(output)
            at, end = self._start(output), output.size(self._stream)
            # What is written meanwhile is for those who follow: a job may write faster than we read.
            while at < end and (chunk := output.read(at, min(1 << 16, end - at), self._stream)):
                at = chunk.offset + len(chunk)
                yield chunk

    def cancel(self) -> None:
        """Have :meth:`chunks` end soon; from any thread."""
        with self._lock:
            self._cancelled = True
            if self._watching is not None:
                self._watching.give_up()

    def _followed(self) -> Generator[Chunk, None, None]:
        with self._access.watching(self._id) as watching:
            with self._lock:
                self._watching = watching
                if self._cancelled:
                    return
            try:
                yield from self._each_attempt(watching)
            finally:
                with self._lock:
                    self._watching = None

    def _each_attempt(self, watching: Watching) -> Generator[Chunk, None, None]:
        number = self._attempt
        if number is None:
            # Where it was deleted meanwhile there is nothing more to read.
            status = self._access.jobs.job(self._id)
            number = 1 if status is None else max(1, status.attempt)
        while (output := self._begun(watching, number)) is not None or not self._ended_before(number + 1):
            if output is not None:
                with output:
                    if self._on_attempt is not None:
                        self._on_attempt(number)
                    at = self._start(output)
                    ended = functools.partial(self._over, watching, number)
                    yield from output.follow(at, self._stream, wake=watching.fileno(), ended=ended)
            if self._attempt is not None or watching.given_up:
                return
            number += 1
            self._from = (0, None, None)

    def _begun(self, watching: Watching, number: int) -> Output | None:
        """The output of attempt NUMBER, once there is one; None if there will be none."""
        while not watching.given_up:
            output = self._opened(number)
            if output is not None or self._ended_before(number):
                return output
            watching.wait()
        return None

    def _ended_before(self, number: int) -> bool:
        """Whether attempt NUMBER has ended, or will never begin."""
        status = self._access.jobs.job(self._id)
        return status is None or status.phase.terminal or status.attempt > number

    def _over(self, watching: Watching, number: int) -> bool:
        """Whether attempt NUMBER has ended, as far as the store knows; asked whenever the bell has rung."""
        watching.read()
        if watching.given_up:
            return True
        status = self._access.jobs.job(self._id)
        return status is None or status.attempt != number or not status.active

    def _opened(self, number: int) -> Output | None:
        from raydp_wrap.supervisor.at_home import output_directory  # noqa: PLC0415 - asyncio, for who reads

        try:
            return Output(output_directory(self._access.home, self._id, number))
        except UsageError:
            return None

    def _start(self, output: Output) -> int:
        offset, tail, since = self._from
        if tail is not None:
            offset = max(offset, output.tail(tail, self._stream))
        if since is not None:
            offset = max(offset, output.since(since, self._stream))
        return offset


def _number(status: Status, attempt: int | None) -> int | None:
    """The attempt that is meant; None: whichever is the last when it is read."""
    if attempt is None:
        return None
    number = attempt if attempt > 0 else status.attempt + attempt
    if not 0 < number <= status.attempt:
        raise UsageError(f"{status.submission_id} has no such attempt: it has had {status.attempt}.")
    return number
