"""Where attempts are processes of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from typing import TYPE_CHECKING, Any

from raydp_wrap.backend import Backend
from raydp_wrap.errors import GuardLostError, GuardUnresponsiveError, RaydpWrapError, StartError, UsageError
from raydp_wrap.local.output import STREAMS
from raydp_wrap.local.place import Place, new_identity
from raydp_wrap.local.running import LocalRunning, prune
from raydp_wrap.local.watch import Watcher
from raydp_wrap.process import DEVNULL, Guard, private_directory

if TYPE_CHECKING:
    from collections.abc import Mapping

    from raydp_wrap.model import Attempt, Launch, Limits

__all__ = ["LocalBackend"]

_LONGEST_NAME = 255


class LocalBackend(Backend):
    """Runs attempts under detached guards, each in DIRECTORY/SUBMISSION.NUMBER/, which is 0700.

    The guard's exit record, its socket and the output (stdout and stderr, as the driver writes them) lie there;
    :class:`raydp_wrap.local.output.Output` reads that. An attempt lives on when its owner dies; :meth:`restore`
    finds its guard again, else its record, else ends what it left behind and says that it was lost.

    Raises:
        UsageError: DIRECTORY can't be private; see :func:`raydp_wrap.process.private_directory`.

    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self._directory = str(private_directory(directory))
        self._watcher = Watcher()

    async def launch(self, attempt: Attempt, launch: Launch, limits: Limits) -> LocalRunning:
        """Start ATTEMPT, or adopt it if it has been started.

        Raises:
            StartError, UsageError: it did not start; nothing of it is left.
            GuardUnresponsiveError: it has been started, and its guard does not answer.

        """
        prune()
        path = self._path(attempt)
        try:
            place = Place.make(path)
        except OSError as error:
            raise _no_place(path, error) from error
        try:
            if not place.lock():
                await asyncio.to_thread(place.wait_for_lock)
            try:
                identity = new_identity(os.path.basename(path))
                guard = self._start(place, launch, limits, identity)
            finally:
                place.unlock()
            if guard is not None:
                return LocalRunning(place, identity, guard, self._watcher, place.identity()[1])
            return await self._adopt(place)
        except BaseException:
            place.close()
            raise

    def _start(self, place: Place, launch: Launch, limits: Limits, identity: str) -> Guard | None:
        """The guard; None if another has started it, or may have."""
        try:
            held = place.claim(identity)
        except OSError as error:
            place.remove_empty()
            raise _no_place(place.path, error) from error
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
                raise _no_place(place.path, error) from error
            raise
        finally:
            for fd in (held, *streams):
                os.close(fd)

    async def restore(self, attempt: Attempt, saved: Mapping[str, Any]) -> LocalRunning:
        """Find ATTEMPT's guard, or what it left.

        Raises:
            GuardUnresponsiveError: the guard is there and does not answer.

        """
        paths = dict.fromkeys([str(saved.get("directory", "")), self._path(attempt)])
        for path in filter(None, paths):
            try:
                place = Place(path)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise RaydpWrapError(
                    f"{path} can't be read ({error.strerror}): whether it runs is not known."
                ) from error
            try:
                return await self._adopt(place, str(saved.get("identity", "")))
            except BaseException:
                place.close()
                raise
        return LocalRunning(None, str(saved.get("identity", "")), None, self._watcher, None)

    async def _adopt(self, place: Place, known: str = "") -> LocalRunning:
        guard = None
        with contextlib.suppress(GuardLostError):
            try:
                guard = await asyncio.to_thread(Guard.connect, place.way("socket"))
            except OSError as error:
                if isinstance(error, RaydpWrapError):
                    raise
                # EAGAIN: more connect to it at once than it has room for.
                raise GuardUnresponsiveError(f"the guard in {place.path} can't be reached: {error.strerror}") from error
        if guard is None and place.is_held() and not place.has_record():
            raise GuardUnresponsiveError(f"the guard in {place.path} lives, and lets nobody in.")
        identity, started_at = place.identity()
        return LocalRunning(place, known or identity, guard, self._watcher, started_at)

    async def forget(self, attempt: Attempt, saved: Mapping[str, Any]) -> None:
        """Remove ATTEMPT's directory.

        Raises:
            UsageError: it still runs.
            OSError: it can't be removed.

        """
        for path in dict.fromkeys([str(saved.get("directory", "")), self._path(attempt)]):
            try:
                place = Place(path)
            except (FileNotFoundError, NotADirectoryError):
                continue
            with contextlib.closing(place):
                try:
                    guard = await asyncio.to_thread(Guard.connect, place.way("socket"))
                except GuardLostError:
                    place.remove()
                else:
                    guard.close()
                    raise UsageError(f"attempt {attempt.number} of {attempt.submission_id} still runs: stop it first.")

    def _path(self, attempt: Attempt) -> str:
        name = f"{attempt.submission_id}.{attempt.number}"
        if not attempt.submission_id or "/" in name or "\0" in name or len(os.fsencode(name)) > _LONGEST_NAME:
            raise UsageError(f"{attempt.submission_id[:100]!r} can't be a submission id: it names a directory.")
        return os.path.join(self._directory, name)


def _no_place(path: str, error: OSError) -> StartError:
    message = f"{path}, where the attempt keeps its state, can't be written: {error.strerror}"
    return StartError(error.errno or errno.EIO, message, path, stage="guard")
