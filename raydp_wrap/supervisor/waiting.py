"""The jobs that wait for their turn, in the order of the queue."""

from __future__ import annotations

import bisect
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from raydp_wrap.job import Job

__all__ = ["WaitingLine"]

_SLACK = 64


class WaitingLine:
    """Jobs by priority, then place. Who leaves is only crossed out: the line is tidied up now and then."""

    def __init__(self) -> None:
        self._line: list[tuple[int, int, str]] = []
        self._jobs: dict[str, Job] = {}

    def __len__(self) -> int:
        """How many wait."""
        return len(self._jobs)

    def __contains__(self, submission_id: str) -> bool:
        """Whether it waits."""
        return submission_id in self._jobs

    def __iter__(self) -> Iterator[Job]:
        """Who is first comes first."""
        for _, _, submission_id in self._line:
            job = self._jobs.get(submission_id)
            if job is not None:
                yield job

    def add(self, job: Job) -> None:
        """Have JOB wait at its place, as it is now."""
        entry = (-job.request.priority, job.place, job.submission_id)
        at = bisect.bisect_left(self._line, entry)
        if at == len(self._line) or self._line[at] != entry:
            self._line.insert(at, entry)
        self._jobs[job.submission_id] = job

    def discard(self, submission_id: str) -> None:
        """Have it wait no more."""
        self._jobs.pop(submission_id, None)
        if len(self._line) > 2 * len(self._jobs) + _SLACK:
            self._line = [entry for entry in self._line if entry[2] in self._jobs]
