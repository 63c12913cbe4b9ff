"""The world around a home's supervisor: the clocks, backends and plugins of this machine, and who tells the sinks."""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from raydp_wrap import plugins
from raydp_wrap.diagnostics import summary, tail
from raydp_wrap.errors import UsageError
from raydp_wrap.local import LocalBackend
from raydp_wrap.model import Launch
from raydp_wrap.moment import Moment
from raydp_wrap.ownership import own_command
from raydp_wrap.process import DEVNULL, Process
from raydp_wrap.supervisor.attending import pauses, saved_by_backend
from raydp_wrap.supervisor.commits import watch_commits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from raydp_wrap.backend import Backend
    from raydp_wrap.job import Job
    from raydp_wrap.model import Event
    from raydp_wrap.request import Context
    from raydp_wrap.store import Store

__all__ = ["AtHome", "attempts_of", "output_directory"]

_SHELL = "/bin/sh"
_LOCAL = "local"
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_LAST_WORDS = 64 * 1024  # bytes of each stream: some 50 ms of looking for secrets


def output_directory(home: Path, submission_id: str, number: int) -> Path:
    """Where the local backend keeps attempt NUMBER's state and output."""
    return attempts_of(home) / f"{submission_id}.{number}"


def attempts_of(home: Path) -> Path:
    """The local backend's directory."""
    return home / "jobs"


class AtHome:
    """The :class:`raydp_wrap.supervisor.world.World` of HOME. TELL is given sentences for the operator."""

    def __init__(self, store: Store, home: Path, tell: Callable[[str], None]) -> None:
        self._store = store
        self._home = home
        self._tell = tell
        self._changed: Callable[[], None] = lambda: None
        self._watching: asyncio.Task[None] | None = None
        self._backends: dict[str, Backend] = {}
        self._events: queue.SimpleQueue[Event | None] | None = None
        self._reporter: asyncio.Task[None] | None = None
        self._due = asyncio.Event()
        plugins.load(tell)

    def open(self, changed: Callable[[], None]) -> None:
        """Begin. CHANGED is called when the store may have been changed by others."""
        self._changed = changed
        watching = watch_commits(self._home, changed, self._store.await_writer)
        self._watching = asyncio.get_running_loop().create_task(watching)

    def now(self) -> Moment:
        """The machine's clocks."""
        return Moment.now()

    def backend(self, name: str) -> Backend:
        """The local one, or a plugin's."""
        if name not in self._backends:
            self._backends[name] = self._make_backend(name)
        return self._backends[name]

    def _make_backend(self, name: str) -> Backend:
        if name == _LOCAL:
            return LocalBackend(attempts_of(self._home))
        found = plugins.backends(self._tell, taken=(_LOCAL,))
        if name not in found:
            known = ", ".join(sorted([_LOCAL, *found]))
            raise UsageError(f"there is no backend {name!r} (there are: {known}): install the plugin that brings it.")
        return found[name]()

    async def launch(self, job: Job, context: Context) -> Launch:
        """Its command, in its submitter's environment and what it adds to that."""
        request = job.request
        own = {"RAYDP_WRAP_SUBMISSION_ID": job.submission_id, "RAYDP_WRAP_ATTEMPT": str(job.attempt)}
        command = self.command(job, context, (_SHELL, "-c", *request.argv) if request.shell else request.argv)
        launch = replace(command, env={**(command.env or {}), **own}, split_output=request.split_output)
        if not plugins.in_use():
            return launch
        # Hooks have a second each: not the loop's.
        return await asyncio.to_thread(plugins.edit_launch, job.submission, launch, self._tell)

    def command(self, job: Job, context: Context, argv: Sequence[str]) -> Launch:
        """ARGV, in the job's directory and environment."""
        return Launch(
            argv=tuple(argv),
            env={**context.environ, **job.request.env},
            cwd=job.request.cwd,
            name=job.submission.name,
            nofile=context.nofile,
            umask=context.umask,
        )

    async def last_words(self, job: Job) -> str:
        """The first exception and the last lines of what it wrote; in a thread, for secrets are looked for in it."""
        if job.request.backend != _LOCAL:
            return ""
        data = b""
        for name in ("output", "errors"):
            with contextlib.suppress(OSError):
                fd = os.open(output_directory(self._home, job.submission_id, job.attempt) / name, _READ)
                try:
                    data += tail(fd, limit=_LAST_WORDS)
                finally:
                    os.close(fd)
        return await asyncio.to_thread(summary, data) if data else ""

    def bind(self, submission_id: str, app_id: str) -> None:
        """Note the cluster's name."""
        self._store.bind(submission_id, app_id)

    # -- those who are told -------------------------------------------------------------------

    def event(self, event: Event) -> None:
        """Have a thread tell the plugins, in order: one that hangs holds up the others, and no job."""
        if not plugins.in_use():
            return
        if self._events is None:
            self._events = queue.SimpleQueue()
            threading.Thread(target=self._tell_plugins, args=(self._events,), daemon=True).start()
        self._events.put(event)

    def _tell_plugins(self, events: queue.SimpleQueue[Event | None]) -> None:
        while (event := events.get()) is not None:
            plugins.event(event, self._tell)

    def deliver(self) -> None:
        """Have a process send what waits in the outbox, as often as it takes."""
        self._due.set()
        if self._reporter is None:
            self._reporter = asyncio.get_running_loop().create_task(self._report())
            self._reporter.add_done_callback(self._reported)

    async def _report(self) -> None:
        # A report that another process has claimed is due as well: it is not asked for without a pause.
        for pause in pauses():
            self._due.clear()
            due = self._store.next_due()
            if due is None:
                return
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._due.wait(), due - time.time())
            command = own_command("raydp_wrap.supervisor.reporting", str(self._home))
            # On our death it goes on: it is the last that the sinks wait for.
            await Process(command, stdin=DEVNULL, cwd="/", new_session=True)
            self._changed()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._due.wait(), pause)

    def _reported(self, task: asyncio.Task[None]) -> None:
        self._reporter = None
        self._changed()
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            self._tell(f"the reports that wait can't be sent now (raydp-wrap deliver sends them): {error}")
        elif self._due.is_set():
            self.deliver()

    @property
    def busy(self) -> bool:
        """Whether reports are being sent."""
        return self._reporter is not None

    async def discard(self, job: Job) -> None:
        """Remove its attempts' output."""
        backend = self.backend(job.request.backend)
        for attempt, saved in self._store.jobs.remains(job.submission_id):
            await backend.forget(attempt, saved_by_backend(saved))

    def tell(self, text: str) -> None:
        """Tell the operator."""
        self._tell(text)

    async def close(self) -> None:
        """Let go. A process that sends reports goes on."""
        tasks = [task for task in (self._reporter, self._watching) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._events is not None:
            self._events.put(None)
