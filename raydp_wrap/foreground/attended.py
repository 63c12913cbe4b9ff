"""A running job that somebody attends: its signals, and what its guard says."""

from __future__ import annotations

import os
import select
import signal
import time
from typing import TYPE_CHECKING, Final

from raydp_wrap.outcome import signal_name
from raydp_wrap.process import News

if TYPE_CHECKING:
    from collections.abc import Callable

    from raydp_wrap.process import Guard, IncomingSignals, Received

__all__ = ["STOPS", "Attended", "heard"]

# Passed on without being a request to stop: QUIT makes a JVM dump its threads, HUP makes a server reload.
_PASSED_ON = (signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCONT)
STOPS: Final = (signal.SIGTERM, signal.SIGINT)
_SHORT_GRACE = 1.0
# `timeout` and a group kill send the same signal twice at once: that is one request, not two.
_ONE_REQUEST = 0.1


def heard(*, shared: bool) -> list[int]:
    """The signals to act on: not those that a terminal's user (nohup, a background job) has us ignore."""
    numbers = [*STOPS, *_PASSED_ON]
    kept = {signal.SIGHUP, signal.SIGINT, signal.SIGQUIT} if shared else {signal.SIGHUP}
    return [n for n in numbers if n not in kept or signal.getsignal(n) is not signal.SIG_IGN]


class Attended:
    """The signals and messages of one run."""

    def __init__(self, guard: Guard, tell: Callable[[str], None], *, shared: bool) -> None:
        self.guard = guard
        self._tell = tell
        self._shared = shared
        self._leads_session = os.getsid(0) == os.getpid()
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
