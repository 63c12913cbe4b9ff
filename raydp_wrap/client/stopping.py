"""A stop without the store, where the disk is full: the job's own guard is asked, and its record says who did."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raydp_wrap.errors import RaydpWrapError

if TYPE_CHECKING:
    from pathlib import Path

    from raydp_wrap.job import Job

__all__ = ["stop_by_guard"]

_LOCAL = "local"


def stop_by_guard(home: Path, job: Job, grace: float | None, label: str) -> bool:
    """Ask the guard of JOB's active attempt; whether there was one to be asked."""
    from raydp_wrap.local.place import Place  # noqa: PLC0415 - rare
    from raydp_wrap.process import Guard  # noqa: PLC0415 - rare
    from raydp_wrap.supervisor.at_home import output_directory  # noqa: PLC0415 - rare

    if not job.active or job.request.backend != _LOCAL:
        return False
    try:
        place = Place(str(output_directory(home, job.submission_id, job.attempt)))
    except OSError:
        return False
    try:
        with Guard.connect(place.way("socket")) as guard:
            guard.stop(grace=job.request.grace if grace is None else grace, label=label)
    except (RaydpWrapError, OSError):
        return False
    finally:
        place.close()
    return True
