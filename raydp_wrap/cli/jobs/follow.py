"""A job accompanied from its submission to its end: its output, and its exit code as ours."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from raydp_wrap.cli.jobs.interrupts import end_as_interrupted, interruptible
from raydp_wrap.cli.jobs.pouring import pour
from raydp_wrap.cli.messages import say
from raydp_wrap.errors import RaydpWrapError

if TYPE_CHECKING:
    from collections.abc import Callable

    from raydp_wrap.client.job import Job
    from raydp_wrap.job import Job as Status
    from raydp_wrap.model import Outcome

__all__ = ["follow"]

_READER_LEFT = 141  # as a shell has it for SIGPIPE


def follow(job: Job, leave: Callable[[Outcome, Status], int], *, split: bool, stop_on_interrupt: bool) -> int:
    """Pass on what JOB writes until it has ended, then LEAVE with its outcome and last status; the exit code.

    SPLIT: its stderr is a stream of its own. Ctrl-C ends the following only, and says so; with STOP_ON_INTERRUPT it
    stops the job, and the second one ends the following.
    """
    stopping: list[threading.Thread] = []

    def stop_first() -> bool:
        if not stop_on_interrupt or stopping:
            return False
        stopping.append(threading.Thread(target=_stop, args=(job,), daemon=True))
        stopping[0].start()
        return True

    try:
        with interruptible(stop_first):
            end = _End(job)
            errors = _errors(job) if split else None
            pour(job.logs(follow=True), 1)
            outcome, status = end.get()
            if errors is not None:
                errors.join()
            for thread in stopping:
                thread.join()
    except KeyboardInterrupt:
        _goes_on(job)
        return end_as_interrupted()
    except BrokenPipeError:
        _goes_on(job)
        return _READER_LEFT
    except OSError:
        _goes_on(job)
        raise
    return leave(outcome, status)


class _End:
    """JOB's end, kept as soon as there is one: who reads our output may be slower than the job is forgotten."""

    def __init__(self, job: Job) -> None:
        self._found: tuple[Outcome, Status] | None = None
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._wait, args=(job,), daemon=True)
        self._thread.start()

    def _wait(self, job: Job) -> None:
        try:
            self._found = job.wait(), job.status()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told by who asks
            self._error = error

    def get(self) -> tuple[Outcome, Status]:
        """Wait for it. Raises what the waiting raised."""
        self._thread.join()
        if self._found is None:
            raise self._error or RaydpWrapError("nobody knows how the job has ended.")
        return self._found


def _goes_on(job: Job) -> None:
    say(
        f"job {job.id} goes on: 'raydp-wrap jobs logs -f {job.id}' follows it, 'raydp-wrap jobs stop {job.id}' stops it"
    )


def _stop(job: Job) -> None:
    say(f"stopping job {job.id}; press Ctrl-C again to leave it")
    try:
        job.stop(label="Ctrl-C")
    except RaydpWrapError as error:
        say(str(error))


def _errors(job: Job) -> threading.Thread:
    def read() -> None:
        # Who reads our stderr no more misses only that.
        with contextlib.suppress(OSError, RaydpWrapError):
            pour(job.logs(follow=True, stream="errors"), 2)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread
