"""From a launch to its outcome, told to everyone who must know."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING

from raydp_wrap import plugins, sinks
from raydp_wrap.errors import GuardLostError, RaydpWrapError, UsageError
from raydp_wrap.foreground.attended import STOPS, Attended, heard
from raydp_wrap.foreground.streams import ErrorOutput, hand_over, open_streams
from raydp_wrap.home import home
from raydp_wrap.model import Event, EventKind, Reason, Submission, TerminalState
from raydp_wrap.outcome import from_record, never_started
from raydp_wrap.process import Guard, IncomingSignals
from raydp_wrap.runs import Run
from raydp_wrap.store import Store
from raydp_wrap.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from raydp_wrap.backend import Sink
    from raydp_wrap.foreground.policy import Policy
    from raydp_wrap.model import Launch, Outcome

__all__ = ["new_submission_id", "run"]


def new_submission_id() -> str:
    """A new id: sortable by time, unique by chance (48 bits a second)."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{os.urandom(6).hex()}"


def _log(text: str) -> None:
    import logging  # noqa: PLC0415 - a face has its own way to tell

    logging.getLogger("raydp_wrap").warning("%s", text)


def _delivery(directory: Path) -> list[str]:
    """What the guard starts when we are gone: this very package, whatever the job's environment says."""
    code = f"import sys; sys.path[:] = {sys.path!r}; from raydp_wrap.deliver import main; main(sys.argv[1])"
    return [sys.executable, "-I", "-c", code, str(directory)]


def run(launch: Launch, policy: Policy, tell: Callable[[str], None] = _log) -> Outcome:
    """Run LAUNCH in the foreground, from the main thread, decide its outcome, and tell its sinks.

    TELL is given what a person should know at once, one sentence at a time. A stream that is closed here is
    /dev/null for the command.

    Raises:
        UsageError: the request is wrong, a sink can't be told, or there is nowhere to keep state.
        StoreError: the store can't be used. In both cases nothing was started.

    """
    open_streams()
    terminal = Terminal()
    numbers = heard(shared=terminal.exists)
    outcome = None
    # From before the first trace on disk until the last is gone, a signal waits for its turn.
    with IncomingSignals(numbers) as signals:
        try:
            outcome = _Foreground(launch, policy, tell, signals, shared=terminal.exists).run()
        finally:
            terminal.restore(modes=outcome is not None and outcome.signal is not None)
            # The job has ended, and its outcome stands: these came too late. Ctrl-C is for our caller too.
            late = set(numbers) - {signal.SIGINT}
            while signal.sigtimedwait(late, 0) is not None:
                pass
    return outcome


class _Foreground:
    """One submission's way through: stored, started, attended, decided, told."""

    def __init__(
        self, launch: Launch, policy: Policy, tell: Callable[[str], None], signals: IncomingSignals, *, shared: bool
    ) -> None:
        self._launch = launch
        self._policy = policy
        self._tell = tell
        self._signals = signals
        self._shared = shared

    def run(self) -> Outcome:
        place = home()
        named = self._sinks()
        with Store(place) as self._store, _new_run(place) as self._run:
            name = self._policy.name or os.path.basename(self._launch.argv[0])
            self._submission = Submission(self._run.submission_id, name, time.time(), named, self._policy.tags)
            try:
                self._store.submit(self._submission)
            except BaseException:
                self._run.remove()
                raise
            self._event(EventKind.SUBMITTED)
            launch = plugins.edit_launch(self._submission, self._launch, self._tell)
            output = ErrorOutput()
            try:
                guard = self._start(launch)
            except (RaydpWrapError, OSError) as error:
                outcome = self._end(_not_started(error, self._submission))
                if isinstance(error, UsageError):
                    raise
                return outcome
            with guard:
                hand_over(self._policy.hand_over)
                self._event(EventKind.ATTEMPT_STARTED)
                Attended(guard, self._tell, shared=self._shared).loop(self._signals)
                record = guard.wait()
                more = plugins.evidence(self._submission, record, self._tell)
                outcome = from_record(record, self._submission, more=more)
                if outcome.state is not TerminalState.FINISHED:
                    outcome = from_record(record, self._submission, more=more, output=output.summary())
                outcome = self._end(outcome)
                guard.done()
            return outcome

    def _sinks(self) -> tuple[str, ...]:
        """The sinks' texts as other processes need them, each seen to be one that can be told."""
        texts = []
        for text in dict.fromkeys(self._policy.sinks):
            named = sinks.parse(text, plugins.sinks())
            try:
                named.sink.check()
            except RaydpWrapError:
                raise
            except Exception as error:
                raise UsageError(f"the sink {sinks.redacted(text)} can't be used: {error!r}") from error
            texts.append(sinks.canonical(text, named.sink))
        return tuple(dict.fromkeys(texts))

    def _start(self, launch: Launch) -> Guard:
        policy, shared = self._policy, self._shared
        return Guard.start(
            launch,
            identity=self._submission.submission_id,
            grace=policy.grace,
            stop_signal=policy.stop_signal,
            active_deadline=policy.active_deadline,
            record=self._run.record,
            hold=(self._run.lock,),
            on_owner_death=_delivery(self._run.directory),
            placement="shared" if shared else "session",
            keep_ignored=(signal.SIGHUP, signal.SIGINT, signal.SIGQUIT) if shared else (signal.SIGHUP,),
        )

    def _event(self, kind: EventKind, outcome: Outcome | None = None) -> None:
        plugins.event(Event(kind, self._submission, 1, time.time(), outcome), self._tell)

    def _end(self, outcome: Outcome) -> Outcome:
        """Store OUTCOME, tell everyone, and remove the run's directory; the outcome that stands."""
        from raydp_wrap.reporter import conclude, report  # noqa: PLC0415 - after the job, not before it

        concluded = conclude(self._store, self._submission, outcome, self._tell, make_room=self._run.make_room)
        if concluded.decided:
            self._event(EventKind.TERMINAL, concluded.outcome)
        if concluded.deliveries:
            interrupt = (self._signals.fileno(), self._stopped)
            report(concluded, _sink, self._policy.report_timeout, self._tell, interrupt=interrupt)
        if concluded.stored:
            self._run.remove()
        return concluded.outcome

    def _stopped(self) -> bool:
        """Whether somebody who waits for our end wants it now."""
        wanted = False
        while (got := self._signals.read()) is not None:
            wanted = wanted or got.signal in (*STOPS, signal.SIGHUP, signal.SIGQUIT)
        return wanted


def _sink(text: str) -> Sink:
    return sinks.parse(text, plugins.sinks()).sink


def _new_run(place: Path) -> Run:
    while True:
        try:
            return Run.create(place, new_submission_id())
        except FileExistsError:
            continue


def _not_started(error: RaydpWrapError | OSError, submission: Submission) -> Outcome:
    reason = Reason.SUBMISSION_FAILED
    if isinstance(error, GuardLostError):
        reason = Reason.JOB_LOST
    elif isinstance(error, UsageError):
        reason = Reason.VALIDATION_FAILED
    why = str(error) if isinstance(error, RaydpWrapError) else f"nothing can be started: {error.strerror}"
    status = error.exit_code if isinstance(error, RaydpWrapError) else RaydpWrapError.exit_code
    return never_started(why, submission, at=time.time(), status=status, reason=reason)
