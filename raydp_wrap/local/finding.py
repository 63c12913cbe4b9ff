"""Finding an attempt that was started: its guard, or what it left. A guard may be stopped: it is for a thread."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from raydp_wrap.errors import GuardLostError, GuardUnresponsiveError, RaydpWrapError
from raydp_wrap.local.place import Place
from raydp_wrap.process import Guard

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Found", "find", "remove"]


@dataclass(frozen=True, slots=True)
class Found:
    """An attempt in PLACE; GUARD None: it is gone. STARTED_AT in seconds since the epoch."""

    place: Place
    identity: str
    guard: Guard | None
    started_at: float | None


def find(paths: Sequence[str], known: str = "") -> Found | None:
    """The attempt in the first directory of PATHS that is there, by the identity KNOWN; None: there is none.

    Raises:
        GuardUnresponsiveError: the guard is there and does not answer.
        RaydpWrapError: the directory can't be read.

    """
    for path in paths:
        try:
            place = Place(path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise RaydpWrapError(f"{path} can't be read ({error.strerror}): whether it runs is not known.") from error
        try:
            guard = _connected(place)
            if guard is None and place.is_held() and not place.has_record():
                raise GuardUnresponsiveError(f"the guard in {path} lives, and lets nobody in.")  # noqa: TRY301
            identity, started_at = place.identity()
        except BaseException:
            place.close()
            raise
        return Found(place, known or identity, guard, started_at)
    return None


def remove(paths: Sequence[str]) -> bool:
    """Remove an attempt's directories PATHS; False: it still runs, and what it lies in is left.

    Raises:
        GuardUnresponsiveError: the guard is there and does not answer.
        OSError: one can't be removed.

    """
    for path in paths:
        try:
            place = Place(path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        with contextlib.closing(place):
            guard = _connected(place)
            if guard is not None:
                guard.close()
                return False
            place.remove()
    return True


def _connected(place: Place) -> Guard | None:
    try:
        return Guard.connect(place.way("socket"))
    except GuardLostError:
        return None
    except GuardUnresponsiveError as error:
        raise GuardUnresponsiveError(
            f"the guard in {place.path} lives and does not answer: if it was stopped, let it go on (SIGCONT)."
        ) from error
    except OSError as error:
        if isinstance(error, RaydpWrapError):
            raise
        # EAGAIN: more connect to it at once than it has room for.
        raise GuardUnresponsiveError(f"the guard in {place.path} can't be reached: {error.strerror}") from error
