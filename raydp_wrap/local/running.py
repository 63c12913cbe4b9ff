"""One attempt under its guard, as a backend's caller sees it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from raydp_wrap.backend import Observation, Running
from raydp_wrap.local.output import Output
from raydp_wrap.local.place import boot_of, new_identity
from raydp_wrap.model import Cause, ExitRecord, Usage
from raydp_wrap.outcome import evidence_of, remarks_of
from raydp_wrap.process import News, sweep

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from raydp_wrap.local.place import Place
    from raydp_wrap.local.watch import Watcher
    from raydp_wrap.process import Guard

__all__ = ["LocalRunning", "let_go", "prune"]

# Of guards that we started and let go of: dropped while it runs, its process would warn.
_let_go: list[Guard] = []


class LocalRunning(Running):
    """An attempt whose guard is connected, or gone (GUARD None); PLACE None: its directory is gone, too."""

    def __init__(
        self, place: Place | None, identity: str, guard: Guard | None, watcher: Watcher, started_at: float | None
    ) -> None:
        """Not for callers: see :class:`LocalBackend`."""
        self._place = place
        self._path = place.path if place is not None else ""
        self._identity = identity
        self._guard = guard
        self._watcher = watcher
        self._started_at = started_at
        self._ending = guard is None
        self._end = asyncio.get_running_loop().create_task(self._hold())

    def save(self) -> dict[str, Any]:
        """Where its directory is, and what marks its processes."""
        return {"directory": self._path, "identity": self._identity}

    async def observe(self) -> AsyncIterator[Observation]:
        """Yield that it runs, if it does, and how it ended."""
        if not self._ending:
            yield Observation(running=True, started_at=self._started_at)
        record = await asyncio.shield(self._end)
        yield Observation(
            ended=True,
            evidence=evidence_of(record),
            remarks=remarks_of(record),
            started_at=record.started_at,
            ended_at=record.ended_at,
            usage=record.tree_usage,
        )

    async def stop(self, *, grace: float | None = None, label: str = "") -> None:
        """Have the guard take it down the stop ladder."""
        if self._guard is not None and not self._ending:
            self._guard.stop(grace=grace, label=label)

    async def ready(self) -> None:
        """Have the guard forget the start deadline."""
        if self._guard is not None and not self._ending:
            self._guard.ready()

    async def logs(self, *, offset: int = 0, follow: bool = False, stream: str = "output") -> AsyncIterator[bytes]:
        """Read the file of STREAM; its end is known when the tree is empty.

        Raises:
            RaydpWrapError: it can't be followed, for the user has no inotify watch left.

        """
        if self._place is None:
            return
        with contextlib.ExitStack() as stack:
            output = stack.enter_context(Output(f"/proc/self/fd/{self._place.fd}/."))
            fd = output.descriptor(stream)
            if fd is None:
                return
            grown = stack.enter_context(self._watcher.watch(fd)) if follow else asyncio.Event()
            if follow:

                def ended(_: object) -> None:
                    grown.set()

                self._end.add_done_callback(ended)
                stack.callback(self._end.remove_done_callback, ended)
            while True:
                # Both before the read: what comes behind it is seen in the next round.
                last = not follow or self._end.done()
                grown.clear()
                while chunk := output.read(offset, stream=stream):
                    offset = chunk.offset + len(chunk)
                    yield chunk
                    await asyncio.sleep(0)  # a long output holds up nobody else in the loop
                if last:
                    return
                if not self._end.done():
                    await grown.wait()

    async def close(self) -> None:
        """Disconnect from the guard, which goes on; one that has told the end is seen to leave."""
        if not self._ending:
            self._end.cancel()
        if not self._end.done():
            # What has begun to end is not cut short: a thread has the guard's descriptor in its hands.
            await asyncio.wait([self._end])
        if not self._end.cancelled():
            self._end.exception()  # it was told, or nobody wants to know
        guard, self._guard = self._guard, None
        if guard is not None:
            let_go(guard)
        if self._place is not None:
            self._place.close()
        prune()
        if guard is not None and self._ending and guard in _let_go:
            await _exited(guard.guard_pid)
            prune()

    async def _hold(self) -> ExitRecord:
        """Wait for the guard's last word."""
        if self._guard is not None:
            told = None
            while not self._ending:
                await _readable(self._guard.fileno())
                told = self._guard.read()
                self._ending = told is None or told.news is News.ENDED
            if told is not None:
                return replace(self._guard.wait(), identity=self._identity)
        # A guard that was lost leaves a sweep to do, and its process to be reaped: in a thread, they take time.
        return await asyncio.to_thread(self._finish)

    def _finish(self) -> ExitRecord:
        record = None
        if self._guard is not None:
            record = self._guard.wait()
            _await_exit(self._guard.guard_pid)
        if record is None or record.cause is Cause.GUARD_LOST:
            return self._lost(record)
        return replace(record, identity=self._identity)

    def _lost(self, told: ExitRecord | None) -> ExitRecord:
        """How it ended, without a guard: by its record, else nobody knows, and what is left is swept."""
        if told is not None and told.identity:
            return told  # by who started it: that guard's record was looked for, and its tree swept
        record, note = self._place.record(self._identity) if self._place is not None else (None, "")
        if record is not None:
            return record
        now = time.time()
        made_up = ExitRecord(
            identity=self._identity,
            guard_pid=0,
            driver_pid=0,
            driver=None,
            cause=Cause.GUARD_LOST,
            stop=None,
            started_at=self._started_at or now,
            ended_at=now,
            duration=now - (self._started_at or now),
            tree_usage=Usage(),
            tree_empty=False,
        )
        empty, swept, said = self._swept()
        notes = tuple(one for one in ("its guard is gone, and told nobody how it ended", note, said) if one)
        return replace(
            told or made_up,
            identity=self._identity,
            started_at=made_up.started_at,
            tree_empty=empty,
            swept_kill=swept,
            notes=notes,
        )

    def _swept(self) -> tuple[bool, int, str]:
        """End what is left without a guard: whether the tree is empty, how many were ended, and that in words."""
        if boot_of(self._identity) not in ("", boot_of(new_identity(""))):
            return True, 0, "the machine was rebooted, and nothing of it is left"
        swept, clean = sweep(self._identity) if self._identity else (0, False)
        left = "none that can be seen to carry its mark is left" if clean else "some may be left"
        return False, swept, f"tree not proven empty: {swept} processes were swept, {left}"


async def _readable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    event = asyncio.Event()
    loop.add_reader(fd, event.set)
    try:
        await event.wait()
    finally:
        loop.remove_reader(fd)


async def _exited(pid: int) -> None:
    """Wait until our child PID, which is not reaped meanwhile, has ended."""
    fd = os.pidfd_open(pid)
    try:
        await _readable(fd)
    finally:
        os.close(fd)


def _await_exit(pid: int) -> None:
    """Wait until our child PID can be reaped, which dropping its Guard does; it has hung up already."""
    with contextlib.suppress(ChildProcessError):
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def let_go(guard: Guard) -> None:
    """Disconnect from GUARD, which goes on; any thread may do so."""
    guard.close()
    _let_go.append(guard)


def prune() -> None:
    """Reap the guards that we let go of and that have ended since."""
    for guard in _let_go[:]:
        with contextlib.suppress(ChildProcessError):
            if os.waitid(os.P_PID, guard.guard_pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                continue
        _let_go.remove(guard)
