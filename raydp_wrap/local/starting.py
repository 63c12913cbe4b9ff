"""Starting an attempt under a guard of its own. All of it may wait for a disk: it is for a thread."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from raydp_wrap.errors import GuardLostError, RaydpWrapError, StartError
from raydp_wrap.local.finding import Found
from raydp_wrap.local.output import STREAMS
from raydp_wrap.local.place import Place, new_identity
from raydp_wrap.process import DEVNULL, Guard

if TYPE_CHECKING:
    from raydp_wrap.model import Launch, Limits

__all__ = ["no_place", "start"]


def start(path: str, launch: Launch, limits: Limits) -> Found | None:
    """The attempt in the directory PATH, started; None if another has started it, or may have.

    Raises:
        StartError, UsageError: it did not start; nothing of it is left.

    """
    try:
        place = Place.make(path)
    except OSError as error:
        raise no_place(path, error) from error
    guard = None
    try:
        place.lock()
        try:
            identity = new_identity(os.path.basename(path))
            guard = _started(place, launch, limits, identity)
        finally:
            place.unlock()
        return None if guard is None else Found(place, identity, guard, place.identity()[1])
    finally:
        if guard is None:
            place.close()


def _started(place: Place, launch: Launch, limits: Limits, identity: str) -> Guard | None:
    try:
        held = place.claim(identity)
    except OSError as error:
        place.remove_empty()
        raise no_place(place.path, error) from error
    if held is None:
        return None
    streams: list[int] = []
    try:
        streams += (place.open_output(name) for name in (STREAMS if launch.split_output else STREAMS[:1]))
        return Guard.start(
            launch,
            identity=identity,
            stdin=DEVNULL,
            stdout=streams[0],
            stderr=streams[-1],
            grace=limits.grace,
            stop_signal=limits.stop_signal,
            active_deadline=limits.active_deadline,
            start_deadline=limits.start_deadline,
            record=place.way("record"),
            socket=place.way("socket"),
            detached=True,
            look_after_output=True,
            log_limit=limits.log_limit,
            hold=(held,),
        )
    except GuardLostError:
        return None  # it may have run: what was claimed stays so
    except Exception as error:
        place.remove()
        if isinstance(error, OSError) and not isinstance(error, RaydpWrapError):
            raise no_place(place.path, error) from error
        raise
    finally:
        for fd in (held, *streams):
            os.close(fd)


def no_place(path: str, error: OSError) -> StartError:
    """What is raised where PATH can't be made, or written to."""
    message = f"{path}, where the attempt keeps its state, can't be written: {error.strerror}"
    return StartError(error.errno or errno.EIO, message, path, stage="guard")
