"""One submission in the foreground: the command as if called directly, and its outcome."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from raydp_wrap.errors import GuardLostError, RaydpWrapError, UsageError
from raydp_wrap.home import home
from raydp_wrap.model import Reason, Submission
from raydp_wrap.outcome import from_record, never_started, signal_name
from raydp_wrap.process import Guard, IncomingSignals, News
from raydp_wrap.report import Report
from raydp_wrap.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from raydp_wrap.model import Launch, Outcome
    from raydp_wrap.process import Received

__all__ = ["Policy", "new_submission_id", "run"]

RECORD = "exit.json"
JOB = "job.json"

# Passed on without being a request to stop: QUIT makes a JVM dump its threads, HUP makes a server reload.
_PASSED_ON = (signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCONT)
_STOPS = (signal.SIGTERM, signal.SIGINT)
_SHORT_GRACE = 1.0
# `timeout` and a group kill send the same signal twice at once: that is one request, not two.
_ONE_REQUEST = 0.1
_STANDARD = 2


@dataclass(frozen=True, slots=True)
class Policy:
    """How a submission is to be run. Times are seconds; ``report`` is where the outcome goes as JSON.

    ``hand_over`` are descriptors that are the command's alone once it runs: ours become /dev/null, so that
    whoever is at their other end sees them closed as soon as the command closes them.
    """

    name: str = ""
    grace: float = 10.0
    stop_signal: int = signal.SIGTERM
    active_deadline: float | None = None
    report: str | None = None
    hand_over: tuple[int, ...] = ()


def new_submission_id() -> str:
    """A new id: sortable by time, unique by chance (48 bits a second)."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{os.urandom(6).hex()}"


class _Foreground:
    """The signals and messages of one run."""

    def __init__(self, guard: Guard, tell: Callable[[str], None], *, shared: bool) -> None:
        self.guard = guard
        self.received: set[int] = set()
        self._tell = tell
        self._shared = shared
        self._leads_session = os.getsid(0) == os.getpid()
        self._requests = 0
        self._last: tuple[float, int] = (0.0, 0)

    def on_signal(self, got: Received) -> None:
        # What a terminal sends reaches the driver, in the same group, by itself; whether it ends by it,
        # as a shell's foreground command would, is the driver's decision.
        # (A hangup is told to the session's leader only: it is for us to pass on, should that be us.)
        hangup = got.signal == signal.SIGHUP and self._leads_session
        if got.from_terminal and self._shared and not hangup:
            self.received.add(got.signal)
        elif got.signal in _STOPS:
            self._on_stop(got)
        else:
            if got.signal != signal.SIGCONT:
                self.received.add(got.signal)
            self.guard.send_signal(got.signal)

    def _on_stop(self, got: Received) -> None:
        now = time.monotonic()
        last_at, last_signal = self._last
        self._last = (now, got.signal)
        if self._requests and got.signal == last_signal and now - last_at < _ONE_REQUEST:
            return
        self._requests += 1
        label = f"{signal_name(got.signal)} from pid {got.pid}, uid {got.uid}"
        if self._requests == 1:
            self.guard.stop(signal=got.signal, label=label)
        else:
            grace = _SHORT_GRACE if self._requests == 2 else 0.0  # noqa: PLR2004 - the second, then the third
            self.guard.stop(signal=got.signal, grace=grace, label=label)

    def loop(self, signals: IncomingSignals) -> None:
        """Until the guard has told the end, or is gone."""
        poll = select.poll()
        poll.register(self.guard.fileno(), select.POLLIN)
        poll.register(signals.fileno(), select.POLLIN)
        while True:
            ready = {fd for fd, _ in poll.poll()}
            if signals.fileno() in ready:
                while (got := signals.read()) is not None:
                    self.on_signal(got)
            if self.guard.fileno() in ready:
                told = self.guard.read()
                if told is None or told.news is News.ENDED:
                    return
                if told.news is News.PENDING:
                    pids = ", ".join(map(str, told.survivors))
                    self._tell(f"SIGKILL was sent and pid {pids} is still there: waiting for it to end")


def _log(text: str) -> None:
    import logging  # noqa: PLC0415 - a face has its own way to tell

    logging.getLogger("raydp_wrap").warning("%s", text)


def _heard(*, shared: bool) -> list[int]:
    """The signals to act on: not those that a terminal's user (nohup, a background job) has us ignore."""
    numbers = [*_STOPS, *_PASSED_ON]
    kept = {signal.SIGHUP, signal.SIGINT, signal.SIGQUIT} if shared else {signal.SIGHUP}
    return [n for n in numbers if n not in kept or signal.getsignal(n) is not signal.SIG_IGN]


def _delivery(directory: Path) -> list[str]:
    """What the guard starts when we are gone: this very package, whatever the job's environment says."""
    code = f"import sys; sys.path[:] = {sys.path!r}; from raydp_wrap.deliver import main; main(sys.argv[1])"
    return [sys.executable, "-I", "-c", code, str(directory)]


def _open_streams() -> None:
    """Have 0-2 open: whatever is opened next would land there, and be taken for a stream."""
    while True:
        fd = os.open(os.devnull, os.O_RDWR)
        if fd > _STANDARD:
            os.close(fd)
            return
        os.set_inheritable(fd, True)  # noqa: FBT003 - positional only


def _hand_over(fds: tuple[int, ...]) -> None:
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for fd in fds:
        os.dup2(null, fd)
    os.close(null)


def run(launch: Launch, policy: Policy, tell: Callable[[str], None] = _log) -> Outcome:
    """Run LAUNCH in the foreground, from the main thread, and decide its outcome.

    TELL is given what a person should know at once, one sentence at a time. A stream that is closed here is
    /dev/null for the command.

    Raises:
        UsageError: the report can't be written, or there is nowhere to keep state. Nothing was started.

    """
    _open_streams()
    terminal = Terminal()
    heard = _heard(shared=terminal.exists)
    outcome = None
    # From before the first trace on disk until the last is gone, a signal waits for its turn.
    with IncomingSignals(heard) as signals:
        try:
            outcome = _run(launch, policy, tell, signals, shared=terminal.exists)
        finally:
            terminal.restore(modes=outcome is not None and outcome.signal is not None)
            # The job has ended, and its outcome stands: these came too late. Ctrl-C is for our caller too.
            late = set(heard) - {signal.SIGINT}
            while signal.sigtimedwait(late, 0) is not None:
                pass
    return outcome


def _run(
    launch: Launch, policy: Policy, tell: Callable[[str], None], signals: IncomingSignals, *, shared: bool
) -> Outcome:
    submission_id = new_submission_id()
    name = policy.name or os.path.basename(launch.argv[0])
    submission = Submission(submission_id, name, time.time())
    directory = _directory(submission_id)
    report = None
    try:
        if policy.report is not None:
            report = Report(policy.report, submission_id)
        _note_job(directory, submission_id, name, report)
        try:
            guard = Guard.start(
                launch,
                identity=submission_id,
                grace=policy.grace,
                stop_signal=policy.stop_signal,
                active_deadline=policy.active_deadline,
                record=directory / RECORD,
                on_owner_death=_delivery(directory),
                placement="shared" if shared else "session",
                keep_ignored=(signal.SIGHUP, signal.SIGINT, signal.SIGQUIT) if shared else (signal.SIGHUP,),
            )
        except UsageError:
            raise
        except (RaydpWrapError, OSError) as error:
            why = str(error) if isinstance(error, RaydpWrapError) else f"nothing can be started: {error.strerror}"
            status = error.exit_code if isinstance(error, RaydpWrapError) else RaydpWrapError.exit_code
            reason = Reason.JOB_LOST if isinstance(error, GuardLostError) else Reason.SUBMISSION_FAILED
            outcome = never_started(why, submission, at=time.time(), status=status, reason=reason)
            _write(report, outcome, tell)
            return outcome
        with guard:
            _hand_over(policy.hand_over)
            foreground = _Foreground(guard, tell, shared=shared)
            foreground.loop(signals)
            record = guard.wait()
            outcome = from_record(record, submission, received=foreground.received)
            _write(report, outcome, tell)
            guard.done()
            return outcome
    except BaseException:
        if report is not None:
            report.discard()
        raise
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _directory(submission_id: str) -> Path:
    directory = home() / "run" / submission_id
    try:
        directory.mkdir(parents=True, mode=0o700)
    except OSError as error:
        raise UsageError(f"{directory} can't be made ({error.strerror}): set RAYDP_WRAP_HOME elsewhere.") from error
    return directory


def _note_job(directory: Path, submission_id: str, name: str, report: Report | None) -> None:
    """What the delivery has to know, should we not live to report."""
    job = {"submission_id": submission_id, "name": name, "report": str(report.path) if report else None}
    try:
        (directory / JOB).write_text(json.dumps(job), encoding="utf-8")
    except OSError as error:
        message = f"{directory} can't be written to ({error.strerror}): set RAYDP_WRAP_HOME elsewhere."
        raise UsageError(message) from error


def _write(report: Report | None, outcome: Outcome, tell: Callable[[str], None]) -> None:
    if report is None:
        return
    try:
        report.write(outcome)
    except OSError as error:
        tell(f"the report {report.path} could not be written: {error.strerror}; the outcome is {outcome.state.value}")
