"""One Spark application whose driver is this process, from track() until it is told how it ended."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
from typing import TYPE_CHECKING, Any

from raydp_wrap_spark.tracking.context import jvm_pid
from raydp_wrap_spark.tracking.exits import EXITS, UnknownExitError
from raydp_wrap_spark.tracking.jvm import JvmWatch
from raydp_wrap_spark.tracking.prompt import at_prompt, in_kernel, kernel_shuts_down

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from raydp_wrap import Tracked
    from raydp_wrap.model import Outcome
    from typing_extensions import Self

__all__ = ["TrackedApplication"]

_SIGTERM_CODE = 143


class TrackedApplication:
    """The application of CONTEXT, told as TRACKED. Made by :func:`track`.

    It ends when the SparkContext is stopped; when its ``with`` block is left, if it is used for one; else when the
    script or the process ends, or the JVM dies. ``outcome`` is None until then. For many threads; a child that is
    forked meanwhile has no part in it.
    """

    def __init__(self, context: Any, tracked: Tracked, tell: Callable[[str], None]) -> None:
        """Not for callers: use :func:`track`."""
        self.context = context
        self._tracked = tracked
        self._tell = tell
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._watching = True
        self._block = False
        self._stopped_by = ""
        self._stop_hook = self._hook(context.stop)
        self._jvm: JvmWatch | None = None
        EXITS.acquire()
        context.stop = self._stop_hook
        atexit.register(self._at_exit)
        pid = jvm_pid(context)
        if pid is not None:
            with contextlib.suppress(OSError):  # then its end is seen when something is asked of it
                self._jvm = JvmWatch(pid, self._jvm_died)

    @property
    def submission_id(self) -> str:
        """The submission's id."""
        return self._tracked.submission_id

    @property
    def outcome(self) -> Outcome | None:
        """How it ended."""
        return self._tracked.outcome

    @property
    def watching(self) -> bool:
        """Whether its end is still to come, and this process's to tell."""
        return self._watching and os.getpid() == self._process

    def bind(self, app_id: str) -> None:
        """Say what the cluster calls it, if that is not the SparkContext's ``applicationId``, which is known."""
        self._tracked.bind(app_id)

    def end(self, code: int = 0, *, killed: bool = False, output: str = "", why: str = "") -> Outcome:
        """Say that it has ended, as :meth:`raydp_wrap.Tracked.end`; nothing else is then waited for."""
        try:
            return self._tracked.end(code, killed=killed, output=output, why=why)
        finally:
            self._let_go()

    def end_by(self, error: BaseException | None) -> Outcome:
        """The same by an exception: as :meth:`raydp_wrap.Tracked.end_by`."""
        try:
            return self._tracked.end_by(error)
        finally:
            self._let_go()

    def superseded(self) -> None:
        """Another SparkContext is in use: if this one was stopped because of an error, that was its end."""
        if self._stopped_by:
            self.end(1, why=f"its SparkContext was stopped because of {self._stopped_by}")

    def __enter__(self) -> Self:
        self._block = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if os.getpid() == self._process and self.outcome is None:
            self.end_by(error)

    # What follows is called in the application's place: it must not fail there.

    def _hook(self, stop: Callable[..., Any]) -> Callable[..., Any]:
        def stop_and_tell(*args: Any, **options: Any) -> Any:
            error = sys.exc_info()[1]
            result = stop(*args, **options)
            if self.watching:
                self._safely(lambda: self._stopped(error))
            return result

        return stop_and_tell

    def _stopped(self, error: BaseException | None) -> None:
        """The SparkContext is stopped, while ERROR was being dealt with."""
        if self._jvm_is_dead() or self._block:
            return
        if not EXITS.running():
            self._ended()
        elif error is None:
            self.end()
        elif at_prompt():
            self.end_by(error)
        else:
            # In a `finally`, most of the time, and the error goes on; in an `except` it may be over. The end tells.
            self._stopped_by = f"{type(error).__name__}: {error}"

    def _at_exit(self) -> None:
        if self.watching:
            self._safely(self._ended)

    def _ended(self) -> None:
        """The program has ended, and what is left of the interpreter will soon."""
        if self._jvm_is_dead():
            return
        try:
            error = EXITS.error()
        except UnknownExitError:
            try:
                self._tracked.leave()
            finally:
                self._let_go()
            return
        if error is None and in_kernel():
            self._shut_down()
        else:
            self.end_by(error)

    def _jvm_is_dead(self) -> bool:
        """Whether it is; then that is told."""
        death = None if self._jvm is None else self._jvm.death()
        if death is not None:
            self._ended_with_jvm(*death)
        return death is not None

    def _jvm_died(self, code: int, why: str) -> None:
        self._safely(lambda: self._ended_with_jvm(code, why))

    def _ended_with_jvm(self, code: int, why: str) -> None:
        if kernel_shuts_down():  # it ends its children first, and the JVM is one
            self._shut_down()
        else:
            self.end(code, why=why)

    def _shut_down(self) -> None:
        self.end(
            _SIGTERM_CODE, killed=True, why="the notebook's kernel was shut down before its SparkContext was stopped"
        )

    def _safely(self, what: Callable[[], object]) -> None:
        try:
            what()
        except Exception as error:  # noqa: BLE001 - whatever becomes of the telling, the application goes on
            text = str(error) or type(error).__name__
            self._tell(f"{self.submission_id}: its end could not be told: {text}")

    def _let_go(self) -> None:
        """Undo what was done to the application."""
        with self._lock:
            if not self._watching:
                return
            self._watching = False
        if vars(self.context).get("stop") is self._stop_hook:
            del self.context.stop
        atexit.unregister(self._at_exit)
        EXITS.release()
        if self._jvm is not None:
            self._jvm.close()
