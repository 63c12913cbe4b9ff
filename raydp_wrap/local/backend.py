"""Where attempts are processes of this machine."""

from __future__ import annotations

import errno
import os
from functools import partial
from typing import TYPE_CHECKING, Any

from raydp_wrap.backend import Backend
from raydp_wrap.errors import UsageError
from raydp_wrap.local.finding import Found, find, remove
from raydp_wrap.local.running import LocalRunning, let_go, prune
from raydp_wrap.local.starting import no_place, start
from raydp_wrap.local.threads import Threads
from raydp_wrap.local.watch import Watcher
from raydp_wrap.process import private_directory

if TYPE_CHECKING:
    from collections.abc import Mapping

    from raydp_wrap.model import Attempt, Launch, Limits

__all__ = ["LocalBackend"]

_LONGEST_NAME = 255
_STARTS = 8  # at once; more would only compete for the processors
_CONNECTS = 32  # each to a guard that may not answer


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
        self._starting = Threads(_STARTS, "raydp-wrap start")
        self._connecting = Threads(_CONNECTS, "raydp-wrap connect")

    async def launch(self, attempt: Attempt, launch: Launch, limits: Limits) -> LocalRunning:
        """Start ATTEMPT, or adopt it if it has been started.

        Cancelled, it may start all the same: who asks for it next adopts it.

        Raises:
            StartError, UsageError: it did not start; nothing of it is left.
            GuardUnresponsiveError: it has been started, and its guard does not answer.

        """
        prune()
        path = self._path(attempt)
        found = await self._starting.run(partial(start, path, launch, limits), _let_go_of)
        if found is None:
            found = await self._connecting.run(partial(find, [path]), _let_go_of)
        if found is None:
            raise no_place(path, FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)))
        return LocalRunning(found.place, found.identity, found.guard, self._watcher, found.started_at)

    async def restore(self, attempt: Attempt, saved: Mapping[str, Any]) -> LocalRunning:
        """Find ATTEMPT's guard, or what it left.

        Raises:
            GuardUnresponsiveError: the guard is there and does not answer.

        """
        known = str(saved.get("identity", ""))
        found = await self._connecting.run(partial(find, self._paths(attempt, saved), known), _let_go_of)
        if found is None:
            return LocalRunning(None, known, None, self._watcher, None)
        return LocalRunning(found.place, found.identity, found.guard, self._watcher, found.started_at)

    async def forget(self, attempt: Attempt, saved: Mapping[str, Any]) -> None:
        """Remove ATTEMPT's directory.

        Raises:
            UsageError: it still runs.
            GuardUnresponsiveError: the guard is there and does not answer.
            OSError: it can't be removed.

        """
        forgotten = partial(remove, self._paths(attempt, saved))
        if not await self._connecting.run(forgotten, lambda _: None):
            raise UsageError(f"attempt {attempt.number} of {attempt.submission_id} still runs: stop it first.")

    def _paths(self, attempt: Attempt, saved: Mapping[str, Any]) -> list[str]:
        paths = dict.fromkeys([str(saved.get("directory", "")), self._path(attempt)])
        return [path for path in paths if path]

    def _path(self, attempt: Attempt) -> str:
        name = f"{attempt.submission_id}.{attempt.number}"
        if not attempt.submission_id or "/" in name or "\0" in name or len(os.fsencode(name)) > _LONGEST_NAME:
            raise UsageError(f"{attempt.submission_id[:100]!r} can't be a submission id: it names a directory.")
        return os.path.join(self._directory, name)


def _let_go_of(found: Found | None) -> None:
    """Nobody waits for what a thread has FOUND: its guard goes on, as after its owner's death."""
    if found is not None:
        if found.guard is not None:
            let_go(found.guard)
        found.place.close()
