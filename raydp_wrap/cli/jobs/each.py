"""The same for many jobs: what can't be done for one is said, and done for the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raydp_wrap.cli.messages import say
from raydp_wrap.errors import AlreadyDecidedError, RaydpWrapError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from raydp_wrap.client.job import Job

__all__ = ["each"]


def each(jobs: Iterable[Job], do: Callable[[Job], object]) -> int:
    """DO it for each of JOBS; the exit code.

    Raises:
        RaydpWrapError: it is not the job, and would not work for another either.

    """
    status = 0
    for job in jobs:
        try:
            do(job)
        except (UsageError, AlreadyDecidedError) as error:
            say(str(error))
            status = RaydpWrapError.exit_code
    return status
