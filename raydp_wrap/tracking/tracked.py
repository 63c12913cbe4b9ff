"""The submission whose driver is this process.

A guard watches from outside. Should this process end in any way before it has said how, the guard's delivery tells.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import sys
import threading
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

    ``outcome`` is None until then. For many threads; a child that is forked meanwhile has no part in it.
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
        self._turn = threading.RLock()  # re-entrant, for a signal handler that ends what it interrupts
        self._left = False
        self._closed = False
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

    def end(self, code: int = 0, *, killed: bool = False, output: str = "", why: str = "") -> Outcome:
        """Say that it has ended, with exit code CODE; the outcome, which stands from the first call on.

        KILLED: because somebody wanted it to. OUTPUT are lines for the diagnostics, WHY is a clause for them.
        Works while the interpreter ends, too.

        Raises:
            UsageError: this is a forked child, or :meth:`leave` was called before.

        """
        if self.outcome is not None:
            return self.outcome
        if os.getpid() != self._process:
            raise UsageError("this process was forked from the one that is tracked: only that one can end it.")
        with self._turn:
            if self.outcome is not None:
                return self.outcome
            if self._left:
                raise UsageError("this process has left: how it ends is told from outside, by its exit code.")
            now = time.time()
            state = TerminalState.FAILED if code else TerminalState.FINISHED
            text = f"the process said that it ended with {code}"
            if why and not killed:
                text = why
            reason = Reason.APP_FAILED if code else None
            found = [Evidence("process", text, Rank.WAIT_STATUS, now, state, code, None, reason)]
            if killed:
                text = why or "a stop was asked for of the process itself"
                found.append(Evidence("stop", text, Rank.STOP, now, TerminalState.KILLED, reason=Reason.STOP_REQUESTED))
            self.outcome = self._conclude(self._decided(found, now, output))
            return self.outcome

    def end_by(self, error: BaseException | None) -> Outcome:
        """End as a ``with`` block does that ERROR leaves: by its exit code, Ctrl-C as KILLED, else FAILED with 1.

        Raises as :meth:`end`.
        """
        if error is None:
            return self.end()
        if isinstance(error, KeyboardInterrupt):
            return self.end(128 + signal.SIGINT, killed=True)
        if isinstance(error, SystemExit):
            return self.end(_code_of(error))
        import traceback  # noqa: PLC0415 - only a failure needs it

        text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        return self.end(1, output=summary(text.encode("utf-8", "backslashreplace")))

    def leave(self) -> None:
        """Say that this process is about to end by itself, with an exit code that only its parent will be given.

        A witness outside waits for that, and tells: FINISHED for 0, FAILED for any other. Where the code can't be
        seen (before Linux 6.15, once the parent has taken it) it is FAILED, JobLost, for it may have been any.
        """
        if os.getpid() != self._process:
            return
        with self._turn:
            if self.outcome is not None or self._left:
                return
            self._left = True
            from raydp_wrap.reporter.kept import keep  # noqa: PLC0415 - rarely needed
            from raydp_wrap.tracking import witness  # noqa: PLC0415 - the same

            now = time.time()
            text = "the process ended by itself, with an exit code that could not be seen"
            lost = Evidence("process", text, Rank.WAIT_STATUS, now, TerminalState.FAILED, reason=Reason.JOB_LOST)
            keep(self._owned.run.directory, self._decided([lost], now))
            # Where none can be started, the guard's delivery goes by what was kept.
            with contextlib.suppress(OSError):
                pidfd = os.pidfd_open(self._process)
                try:
                    witness.start(self._owned.run, pidfd)
                finally:
                    os.close(pidfd)
                self._guard.done()
                self._close()

    def _decided(self, found: Iterable[Evidence], now: float, output: str = "") -> Outcome:
        return decide(found, self._owned.submission, output=lambda: output, started_at=self._started_at, ended_at=now)

    def _conclude(self, outcome: Outcome) -> Outcome:
        told = self._owned.end(outcome, self._report_timeout) if _can_fork() else self._by_witness(outcome)
        if not self._closed:
            self._guard.done()
            self._close()
        return told

    def _by_witness(self, outcome: Outcome) -> Outcome:
        """Have another process do it; wait for that, no longer than for sinks."""
        from raydp_wrap.reporter.kept import keep  # noqa: PLC0415 - rarely needed
        from raydp_wrap.tracking import witness  # noqa: PLC0415 - the same

        keep(self._owned.run.directory, outcome)
        pid = witness.start(self._owned.run, None)
        pidfd = os.pidfd_open(pid)
        try:
            poll = select.poll()
            poll.register(pidfd, select.POLLIN)
            if poll.poll(self._report_timeout * 1000):
                os.waitpid(pid, 0)
        finally:
            os.close(pidfd)
        return self._owned.store.outcome(self.submission_id) or outcome

    def _close(self) -> None:
        self._closed = True
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
        if os.getpid() != self._process or self._left:
            return  # a child that was forked in the block, and leaves it; or a witness is to tell
        self.end_by(None if self.outcome is not None else error)


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


def _can_fork() -> bool:
    """Whether sinks can be told from here: Python 3.12 forks no more once the interpreter ends."""
    return sys.version_info[:2] != (3, 12) or threading.main_thread().is_alive()


def _forked(tracked: Tracked | None) -> None:
    """In a child: let go of the lock that says that its parent, or the guard, lives."""
    if tracked is not None:
        tracked._owned.run.close()  # noqa: SLF001 - a part of Tracked


def _code_of(error: SystemExit) -> int:
    """As the interpreter would exit: no code is 0, a text is 1."""
    if error.code is None:
        return 0
    return error.code & 0xFF if isinstance(error.code, int) else 1
