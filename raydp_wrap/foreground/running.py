"""From a launch to its outcome, told to everyone who must know."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

from raydp_wrap.errors import GuardLostError, RaydpWrapError, UsageError
from raydp_wrap.foreground.attended import IGNORED, INHERITED, STOPS, Attended, heard
from raydp_wrap.foreground.streams import ErrorOutput, hand_over, open_streams
from raydp_wrap.model import Reason
from raydp_wrap.outcome import never_started
from raydp_wrap.ownership import Ownership, log
from raydp_wrap.process import IncomingSignals
from raydp_wrap.terminal import Terminal
from raydp_wrap.watching import judge

if TYPE_CHECKING:
    from collections.abc import Callable

    from raydp_wrap.foreground.policy import Policy
    from raydp_wrap.model import Launch, Outcome, Submission

__all__ = ["run"]


def run(launch: Launch, policy: Policy, tell: Callable[[str], None] = log) -> Outcome:
    """Run LAUNCH in the foreground, from the main thread, decide its outcome, and tell its sinks.

    TELL is given what a person should know at once, one sentence at a time. A stream that is closed here is
    /dev/null for the command.

    Raises:
        UsageError: the request is wrong, a sink can't be told, or there is nowhere to keep state.
        StoreError: the store can't be used. In both cases nothing was started.

    """
    open_streams()
    terminal = Terminal()
    numbers = heard(keep_ignored=terminal.exists or policy.keep_ignored)
    outcome = None
    # From before the first trace on disk until the last is gone, a signal waits for its turn.
    with IncomingSignals(numbers) as signals:
        try:
            outcome = _run(launch, policy, tell, signals, shared=terminal.exists)
        finally:
            terminal.restore(modes=outcome is not None and outcome.signal is not None)
            # The job has ended, and its outcome stands: these came too late. Ctrl-C is for our caller too.
            late = set(numbers) - {signal.SIGINT}
            while signal.sigtimedwait(late, 0) is not None:
                pass
    return outcome


def _run(
    launch: Launch, policy: Policy, tell: Callable[[str], None], signals: IncomingSignals, *, shared: bool
) -> Outcome:
    name = policy.name or os.path.basename(launch.argv[0])
    with Ownership(name, policy.sinks, policy.tags, tell) as owned:
        output = ErrorOutput()
        try:
            guard = owned.start(
                launch,
                grace=policy.grace,
                stop_signal=policy.stop_signal,
                active_deadline=policy.active_deadline,
                placement="shared" if shared else "session",
                keep_ignored=INHERITED if policy.keep_ignored else IGNORED if shared else (signal.SIGHUP,),
            )
        except (RaydpWrapError, OSError) as error:
            outcome = owned.end(_not_started(error, owned.submission), policy.report_timeout)
            if isinstance(error, UsageError):
                raise
            return outcome
        with guard, owned.watches as watches:
            attended = Attended(guard, owned, tell, shared=shared)
            hand_over(policy.hand_over)
            watches.started(guard.pid)
            attended.loop(signals)
            record = guard.wait()
            attended.learn(watches.ended())
            saved = watches.saved()
            watches.close()
            outcome = judge(record, owned.submission, saved, tell, output.summary)
            outcome = owned.end(outcome, policy.report_timeout, (signals.fileno(), lambda: _unwanted(signals)))
            guard.done()
        return outcome


def _unwanted(signals: IncomingSignals) -> bool:
    """Whether somebody who waits for our end wants it now. Ctrl-C is left pending: our caller must hear of it, too."""
    wanted = interrupted = False
    while (got := signals.read()) is not None:
        wanted = wanted or got.signal in (*STOPS, signal.SIGHUP, signal.SIGQUIT)
        interrupted = interrupted or got.signal == signal.SIGINT
    if interrupted:
        signal.raise_signal(signal.SIGINT)
    return wanted


def _not_started(error: RaydpWrapError | OSError, submission: Submission) -> Outcome:
    reason = Reason.SUBMISSION_FAILED
    if isinstance(error, GuardLostError):
        reason = Reason.JOB_LOST
    elif isinstance(error, UsageError):
        reason = Reason.VALIDATION_FAILED
    why = str(error) if isinstance(error, RaydpWrapError) else f"nothing can be started: {error.strerror}"
    status = error.exit_code if isinstance(error, RaydpWrapError) else RaydpWrapError.exit_code
    return never_started(why, submission, at=time.time(), status=status, reason=reason)
