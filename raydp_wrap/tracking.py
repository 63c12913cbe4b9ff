"""A driver that nobody started: this very process (a notebook, a script), whose outcome is told all the same.

A guard watches from outside. Should this process end in any way before it has said how, the guard's delivery tells.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
import weakref
from typing import TYPE_CHECKING

from raydp_wrap.diagnostics import summary
from raydp_wrap.errors import UsageError
from raydp_wrap.model import Evidence, Launch, Rank, Reason, TerminalState
from raydp_wrap.outcome import decide, never_started
from raydp_wrap.ownership import Ownership, log
from raydp_wrap.process import DEVNULL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType

    from typing_extensions import Self

    from raydp_wrap.model import Outcome

__all__ = ["Tracked", "track"]


class Tracked:
    """A submission whose driver is this process. Ended by :meth:`end`, or by leaving its ``with`` block.

    ``outcome`` is None until then. For one thread; a child that is forked meanwhile has no part in it.
    """

    def __init__(
        self,
        name: str,
        sinks: Iterable[str],
        tags: Mapping[str, str],
        report_timeout: float,
        tell: Callable[[str], None],
    ) -> None:
        """Not for callers: use :func:`track`."""
        self.outcome: Outcome | None = None
        self._report_timeout = report_timeout
        self._process = os.getpid()
        self._started_at = time.time()
        self._owned = Ownership(name, sinks, tags, tell)
        try:
            self._guard = self._owned.start(_sleeper(), ours=True, stdin=DEVNULL, stdout=DEVNULL, grace=0.0)
        except BaseException as error:
            with self._owned as owned:
                why = str(error) or type(error).__name__
                owned.end(never_started(why, owned.submission, at=time.time()), report_timeout)
            raise
        me = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _forked(me()))

    @property
    def submission_id(self) -> str:
        """The submission's id."""
        return self._owned.submission.submission_id

    def bind(self, app_id: str) -> None:
        """Say what the cluster calls the application. Sinks that need to know are told then."""
        self._owned.bind(app_id)

    def end(self, code: int = 0, *, killed: bool = False, output: str = "") -> Outcome:
        """Say that it has ended, with exit code CODE; the outcome, which stands from the first call on.

        KILLED: because somebody wanted it to. OUTPUT are lines for the diagnostics.
        """
        if self.outcome is not None:
            return self.outcome
        if os.getpid() != self._process:
            raise UsageError("this process was forked from the one that is tracked: only that one can end it.")
        now = time.time()
        state = TerminalState.FAILED if code else TerminalState.FINISHED
        text = f"the process said that it ended with {code}"
        found = [
            Evidence("process", text, Rank.WAIT_STATUS, now, state, code, None, Reason.APP_FAILED if code else None)
        ]
        if killed:
            stopped = "a stop was asked for of the process itself"
            found.append(Evidence("stop", stopped, Rank.STOP, now, TerminalState.KILLED, reason=Reason.STOP_REQUESTED))
        outcome = decide(
            found, self._owned.submission, output=lambda: output, started_at=self._started_at, ended_at=now
        )
        self.outcome = self._owned.end(outcome, self._report_timeout)
        self._guard.done()
        self._close()
        return self.outcome

    def _close(self) -> None:
        self._guard.stop()
        self._guard.wait()
        self._guard.close()
        if not self._owned.stored:
            # The end of the sleeper says nothing of ours: it must decide nothing later.
            with contextlib.suppress(OSError):
                self._owned.run.record.unlink()
        self._owned.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if os.getpid() != self._process:
            return  # a child that was forked in the block, and leaves it
        if error is None or self.outcome is not None:
            self.end()
        elif isinstance(error, KeyboardInterrupt):
            self.end(128 + signal.SIGINT, killed=True)
        elif isinstance(error, SystemExit):
            self.end(_code_of(error))
        else:
            import traceback as tracebacks  # noqa: PLC0415 - only a failure needs it

            text = "".join(tracebacks.format_exception(kind, error, traceback))
            self.end(1, output=summary(text.encode("utf-8", "backslashreplace")))


def track(
    name: str,
    *,
    sinks: Iterable[str] = (),
    tags: Mapping[str, str] | None = None,
    report_timeout: float = 5.0,
    tell: Callable[[str], None] = log,
) -> Tracked:
    """Track this process as the driver of a submission called NAME, and tell SINKS how it ends.

    ::

        with raydp_wrap.track("nightly", sinks=["webhook:https://example.org/jobs"]):
            ...

    An exception that leaves the block is FAILED, Ctrl-C is KILLED, ``sys.exit(n)`` is n. A process that dies in
    the block, of SIGKILL too, is reported by the guard: KILLED, OwnerDied. Leaving the block waits for sinks for
    at most REPORT_TIMEOUT seconds.

    Raises:
        UsageError: a sink can't be told, or there is nowhere to keep state.
        StoreError, StartError: the store can't be used, no guard can be started.

    """
    return Tracked(name, sinks, tags or {}, report_timeout, tell)


def _sleeper() -> Launch:
    """A driver for the guard: it must not end by itself, nor with us, for its exit code 0 would be a success."""
    sleep = shutil.which("sleep", path=os.defpath)
    if sleep is not None:
        return Launch((sleep, str(2**31 - 1)), cwd="/", env={})
    return Launch((sys.executable, "-ISc", "import signal\nwhile True: signal.pause()"), cwd="/")


def _forked(tracked: Tracked | None) -> None:
    """In a child: let go of the lock that says that its parent, or the guard, lives."""
    if tracked is not None:
        tracked._owned.run.close()  # noqa: SLF001 - a part of Tracked


def _code_of(error: SystemExit) -> int:
    """As the interpreter would exit: no code is 0, a text is 1."""
    if error.code is None:
        return 0
    return error.code & 0xFF if isinstance(error.code, int) else 1
