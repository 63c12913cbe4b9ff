"""The supervisor inside this process (a notebook, a program that waits for its jobs), in a thread of its own."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import threading
import time
import weakref
from typing import TYPE_CHECKING

from raydp_wrap.errors import RaydpWrapError, SupervisorError
from raydp_wrap.ownership import log
from raydp_wrap.supervisor import background
from raydp_wrap.supervisor.locks import GATE, LIFE, lock

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from typing_extensions import Self

    from raydp_wrap.supervisor.serving import Serving

__all__ = ["Embedded"]


class Embedded:
    """Supervises HOME from here, unless somebody does already: then ``supervising`` is False, and nothing is done.

    When it is closed, or this process dies, its jobs go on. Closed, it starts a background supervisor if there is
    something left to do. May be closed from any thread, but only once it has been made.

    Raises:
        RaydpWrapError: it can't supervise; the sentence says why.

    """

    def __init__(self, home: Path, tell: Callable[[str], None] = log) -> None:
        self._home = home
        self._tell = tell
        self._owner = os.getpid()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._begun = threading.Event()
        self._closing = threading.Lock()
        self._failed: BaseException | None = None
        self._left_over = False
        gate = lock(home, GATE, background.PATIENCE)
        try:
            bell = background.present(home, time.monotonic() + background.PATIENCE)
            if bell is not None:
                bell.close()
                return
            self._start()
        finally:
            os.close(gate)

    @property
    def supervising(self) -> bool:
        """Whether it is this process that supervises."""
        return self._thread is not None and self._thread.is_alive()

    def _start(self) -> None:
        try:
            life = lock(self._home, LIFE, background.PATIENCE)
        except SupervisorError as error:
            raise SupervisorError(f"{self._home} is supervised by a process that does not answer: {error}") from error
        self._thread = threading.Thread(target=self._run, args=(life,), name="raydp-wrap supervisor", daemon=True)
        self._thread.start()
        self._begun.wait()
        if self._failed is not None:
            self._thread.join()
            raise self._failed
        _open.add(self)

    def _run(self, life: int) -> None:
        try:
            asyncio.run(self._serve(life))
        except Exception as error:  # noqa: BLE001 - to be told, or raised, elsewhere
            if self._begun.is_set():
                self._tell(f"the supervisor in this process has ended ({error!r}): another one is started when needed")
            self._failed = error
        finally:
            self._begun.set()

    async def _serve(self, life: int) -> None:
        from raydp_wrap.supervisor.machine import make  # noqa: PLC0415 - only who supervises needs the backends
        from raydp_wrap.supervisor.serving import Serving  # noqa: PLC0415 - the same

        serving: Serving = Serving(self._home, life, self._tell, make)
        self._loop, self._serving = asyncio.get_running_loop(), serving
        try:
            self._begun.set()
            await serving.serve(None)
        finally:
            self._left_over = serving.left_over()
            serving.close()

    def close(self) -> None:
        """Leave; at the latest at the program's exit. A second time, and in a forked child, nothing happens."""
        if os.getpid() != self._owner:
            return
        with self._closing:
            thread, self._thread = self._thread, None
            _open.discard(self)
            if thread is None:
                return
            if self._loop is not None:
                with contextlib.suppress(RuntimeError):  # it has ended by itself
                    self._loop.call_soon_threadsafe(self._serving.leave)
            thread.join()
        if self._left_over:
            try:
                background.ensure(self._home).close()
            except RaydpWrapError as error:
                self._tell(f"jobs are waiting, and nobody supervises them: {error}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_open: weakref.WeakSet[Embedded] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for one in list(_open):
        one.close()
