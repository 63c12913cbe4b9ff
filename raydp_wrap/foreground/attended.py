"""A running job that somebody attends: its signals, what its guard says, and what plugins' watches learn."""

from __future__ import annotations

import os
import select
import signal
import time
from typing import TYPE_CHECKING, Final

from raydp_wrap.errors import RaydpWrapError
from raydp_wrap.outcome import signal_name
from raydp_wrap.process import News, Phase
from raydp_wrap.watching import keep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from raydp_wrap.ownership import Ownership
    from raydp_wrap.process import Guard, IncomingSignals, Received
    from raydp_wrap.watch import Notice

__all__ = ["IGNORED", "INHERITED", "STOPS", "Attended", "heard"]

# Passed on without being a request to stop: QUIT makes a JVM dump its threads, HUP makes a server reload.
_PASSED_ON = (signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCONT)
STOPS: Final = (signal.SIGTERM, signal.SIGINT)
#: What a command that was called directly would go on ignoring, if we were called with it ignored.
IGNORED: Final = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)
#: All that a caller can have had us ignore; of these two only Python knows, which ignores them itself.
INHERITED: Final = tuple(set(range(1, 65)) - {signal.SIGPIPE, signal.SIGXFSZ})
_SHORT_GRACE = 1.0
# `timeout` and a group kill send the same signal twice at once: that is one request, not two.
_ONE_REQUEST = 0.1
# Until it is known how long the watches want: after that the guard goes on, should we be stuck in asking them.
_ASKING = 5.0
_LONGEST_WAIT = 3_600_000.0  # milliseconds


def heard(*, keep_ignored: bool) -> list[int]:
    """The signals to act on: not those that our caller (nohup, a shell with a background job) has us ignore."""
    numbers = [*STOPS, *_PASSED_ON]
    kept = IGNORED if keep_ignored else (signal.SIGHUP,)
    return [n for n in numbers if n not in kept or signal.getsignal(n) is not signal.SIG_IGN]


class Attended:
    """The signals and messages of one run."""

    def __init__(self, guard: Guard, owned: Ownership, tell: Callable[[str], None], *, shared: bool) -> None:
        self.guard = guard
        self._owned = owned
        self._watches = owned.watches
        self._saved: object = {}
        self._tell = tell
        self._shared = shared
        self._leads_session = os.getsid(0) == os.getpid()
        self._ready = self._over = self._asked = False
        self._requests = 0
        self._last: tuple[float, int] = (0.0, 0)

    def on_signal(self, got: Received) -> None:
        """Stop the job, pass GOT on, or note that the terminal has sent it to the driver, too."""
        # What a terminal sends reaches the driver, in the same group, by itself; whether it ends by it,
        # as a shell's foreground command would, is the driver's decision.
        # (A hangup is told to the session's leader only: it is for us to pass on, should that be us.)
        hangup = got.signal == signal.SIGHUP and self._leads_session
        if got.from_terminal and self._shared and not hangup:
            self.guard.note_signal(got.signal)
        elif got.signal in STOPS:
            self._on_stop(got)
        else:
            if got.signal != signal.SIGCONT:
                # Who sent it to us may have sent it to the driver, too, and that may have ended of it by now.
                self.guard.note_signal(got.signal)
            self.guard.send_signal(got.signal)

    def _on_stop(self, got: Received) -> None:
        now = time.monotonic()
        last_at, last_signal = self._last
        self._last = (now, got.signal)
        if self._requests and got.signal == last_signal and now - last_at < _ONE_REQUEST:
            return
        self._requests += 1
        label = f"{signal_name(got.signal)} from pid {got.pid}, uid {got.uid}"
        if self._requests == 1 and self._watches:
            # On record before anybody is asked: what the application makes of it is then no success.
            self.guard.stop(signal=got.signal, delay=_ASKING, label=label)
            self.guard.postpone(self._watches.stop())
        elif self._requests == 1:
            self.guard.stop(signal=got.signal, label=label)
        else:
            grace = _SHORT_GRACE if self._requests == 2 else 0.0  # noqa: PLR2004 - the second, then the third
            self.guard.stop(signal=got.signal, grace=grace, label=label)

    def learn(self, notices: Iterable[Notice]) -> None:
        """Act on what the watches have learnt, and keep what they save."""
        for notice in notices:
            if notice.app_id is not None:
                try:
                    self._owned.bind(notice.app_id)
                except RaydpWrapError as error:
                    self._tell(f"the app id could not be noted: {error}")
            if self.guard.phase is not Phase.ENDED:
                self._have_done(notice)
        saved = self._watches.saved()
        if saved != self._saved:
            self._saved = saved
            if not keep(self._owned.run.directory, saved):
                self._tell("what is known of the job could not be kept: should this process die, less will be told")

    def _have_done(self, notice: Notice) -> None:
        """Once each, however often it is said: a guard that is stopped has room for few messages."""
        if notice.running and not self._ready:
            self._ready = True
            self.guard.ready()
        if notice.over and not self._over:
            self._over = True
            self.guard.force(label=notice.over)
        if notice.asked and self._requests and not self._asked and not self._watches.stopping:
            self._asked = True
            self.guard.stop()

    def _wait(self, signals: IncomingSignals) -> set[int]:
        poll = select.poll()
        for fd in (self.guard.fileno(), signals.fileno(), *self._watches.descriptors):
            poll.register(fd, select.POLLIN)
        at = self._watches.deadline
        # Rounded up: a deadline that is not quite past would be waited for again and again.
        timeout = None if at is None else min(max(0.0, at - time.monotonic()) * 1000 + 1, _LONGEST_WAIT)
        return {fd for fd, _ in poll.poll(timeout)}

    def loop(self, signals: IncomingSignals) -> None:
        """Until the guard has told the end, or is gone."""
        while True:
            ready = self._wait(signals)
            if self._watches:
                self.learn(self._watches.notices(ready))
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
