"""Deliver claimed reports: all sinks at once, each in a process of its own, for as long as the caller has patience."""

from __future__ import annotations

import heapq
import select
import time
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from raydp_wrap.backend import Answer, Verdict
from raydp_wrap.diagnostics import redact
from raydp_wrap.errors import StoreError
from raydp_wrap.model import Report
from raydp_wrap.reporter.backoff import MAX_TRIES, pause
from raydp_wrap.reporter.call import Call
from raydp_wrap.reporter.conclude import LEASE
from raydp_wrap.store import Claimer, DeliveryStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from raydp_wrap.backend import Sink
    from raydp_wrap.model import TerminalState
    from raydp_wrap.reporter.outbox import Outbox
    from raydp_wrap.store import Delivery

__all__ = ["Interrupt", "Reporter", "Told"]

#: A descriptor that becomes readable, and whether that means that nobody has patience any more.
Interrupt: TypeAlias = "tuple[int, Callable[[], bool]]"

TRY_TIMEOUT = 30.0
_PARALLEL = 16
_WITHOUT_APP_ID = 3600.0  # learning the id makes it due at once


@dataclass(frozen=True, slots=True)
class Told:
    """What became of one report in this process; ``text`` says why it was not delivered."""

    submission_id: str
    sink: str
    state: TerminalState
    status: DeliveryStatus
    text: str = ""


@dataclass(slots=True)
class _Sending:
    call: Call
    delivery: Delivery
    until: float


class Reporter:
    """Sends what is in the outbox. MAKE makes a sink from its text. For one thread; forks."""

    def __init__(self, outbox: Outbox, make: Callable[[str], Sink], *, try_timeout: float = TRY_TIMEOUT) -> None:
        self._outbox = outbox
        self.claimer = Claimer.of_this_process()
        self._make = make
        self._try_timeout = min(try_timeout, TRY_TIMEOUT)
        self._told: dict[tuple[str, str], Told] = {}
        self._again: list[tuple[float, str]] = []  # a heap: when, which submission ("" is any)

    def drain(self, patience: float, *, interrupt: Interrupt | None = None) -> list[Told]:
        """Claim and send all that is due, what was given up before too, for at most PATIENCE seconds."""
        first = self._outbox.claim(self.claimer, lease=LEASE, retry_failed=True)
        return self.deliver(first, patience, interrupt=interrupt, more=True)

    def deliver(
        self, deliveries: Iterable[Delivery], patience: float, *, interrupt: Interrupt | None = None, more: bool = False
    ) -> list[Told]:
        """Send DELIVERIES, which this process has claimed, again and again as their sinks answer; what became of each.

        Returns after PATIENCE seconds at the latest, and as soon as INTERRUPT says so: what is not delivered
        then stays in the outbox. With MORE, whatever becomes due meanwhile is sent as well.
        """
        waiting = deque(deliveries)
        sending: dict[int, _Sending] = {}
        end = time.monotonic() + patience
        poll = select.poll()
        fd, interrupted = interrupt or (-1, lambda: False)
        if interrupt:
            poll.register(fd, select.POLLIN)
        try:
            while True:
                self._start(waiting, sending, poll, end)
                if not waiting:
                    waiting.extend(self._due(more=more))
                    self._start(waiting, sending, poll, end)
                now = time.monotonic()
                later = bool(self._again) and now + self._again[0][0] - time.time() < end
                if now >= end or not (sending or waiting or later):
                    break
                ready = {ready for ready, _ in poll.poll(self._pause(sending, end, now) * 1000)}
                if fd in ready and interrupted():
                    break
                for ended in ready - {fd}:
                    self._finished(sending.pop(ended), poll)
                self._end_overdue(sending, poll)
        finally:
            for one in sending.values():
                self._give_up(one, poll)
            self._release(waiting)
        return list(self._told.values())

    def _pause(self, sending: dict[int, _Sending], end: float, now: float) -> float:
        until = [end, *(one.until for one in sending.values())]
        if self._again:
            until.append(now + max(0.0, self._again[0][0] - time.time()))
        # poll() counts in whole milliseconds, and rounds up.
        return max(0.0, min(until) - now)

    def _due(self, *, more: bool) -> list[Delivery]:
        """What was put off until now."""
        if more:
            # Others may have put off, and may have died with, what is not ours yet.
            due = self._outbox.next_due()
            self._again = [] if due is None else [(due, "")]
        submissions = set()
        while self._again and self._again[0][0] <= time.time():
            submissions.add(heapq.heappop(self._again)[1])
        if "" in submissions:
            return self._outbox.claim(self.claimer, lease=LEASE)
        return [
            delivery
            for submission in submissions
            for delivery in self._outbox.claim(self.claimer, submission_id=submission, lease=LEASE)
        ]

    def _start(self, waiting: deque[Delivery], sending: dict[int, _Sending], poll: select.poll, end: float) -> None:
        while waiting and len(sending) < _PARALLEL and time.monotonic() < end:
            delivery = waiting.popleft()
            try:
                call = Call(lambda delivery=delivery: self._send(delivery))  # type: ignore[misc]
            except OSError as error:  # no process, no descriptor left
                self._settle(delivery, Answer(Verdict.RETRY_AFTER, f"nothing can be started: {error.strerror}"))
                continue
            sending[call.fileno()] = _Sending(call, delivery, time.monotonic() + self._try_timeout)
            poll.register(call.fileno(), select.POLLIN)

    def _send(self, delivery: Delivery) -> Answer:
        """In the child."""
        sink = self._make(delivery.sink)
        if sink.needs_app_id and delivery.outcome.app_id is None:
            return Answer(Verdict.RETRY_AFTER, "the app id is not known yet", _WITHOUT_APP_ID)
        return sink.deliver(Report(delivery.key, delivery.sink, delivery.outcome, delivery.tries + 1))

    def _finished(self, one: _Sending, poll: select.poll) -> None:
        poll.unregister(one.call.fileno())
        try:
            answer = one.call.answer()
        finally:
            one.call.close()
        self._settle(one.delivery, answer)

    def _end_overdue(self, sending: dict[int, _Sending], poll: select.poll) -> None:
        now = time.monotonic()
        for fd in [fd for fd, one in sending.items() if one.until <= now]:
            self._give_up(sending.pop(fd), poll)

    def _give_up(self, one: _Sending, poll: select.poll) -> None:
        poll.unregister(one.call.fileno())
        one.call.close()
        self._settle(one.delivery, Answer(Verdict.RETRY_AFTER, "no answer in time"))

    def _settle(self, delivery: Delivery, answer: Answer) -> None:
        """Note in the outbox what became of DELIVERY; where another process has taken it over, that one does."""
        tries, text = delivery.tries + 1, redact(answer.text)
        again = None
        if answer.verdict in (Verdict.ACCEPTED, Verdict.DUPLICATE):
            status, text = DeliveryStatus.DELIVERED, ""
        elif answer.verdict is Verdict.REJECTED:
            status = DeliveryStatus.REJECTED
        elif tries >= MAX_TRIES:
            status = DeliveryStatus.FAILED
        else:
            status = DeliveryStatus.PENDING
            again = time.time() + pause(tries, answer.seconds)
        told = Told(delivery.submission_id, delivery.sink, delivery.outcome.state, status, text)
        try:
            held = self._outbox.settle(delivery, status, next_try_at=again, error=text)
        except StoreError as error:
            # It will be sent again, when its lease is over: at least once, and applied once by its key.
            told, held, again = replace(told, text=text or str(error)), True, None
        if held:
            self._told[delivery.submission_id, delivery.sink] = told
            if again is not None:
                heapq.heappush(self._again, (again, delivery.submission_id))

    def _release(self, waiting: deque[Delivery]) -> None:
        if not waiting:
            return
        for delivery in waiting:
            state = delivery.outcome.state
            told = Told(
                delivery.submission_id, delivery.sink, state, DeliveryStatus.PENDING, "there was no time for it"
            )
            self._told.setdefault((delivery.submission_id, delivery.sink), told)
        try:
            self._outbox.release(list(waiting))
        except StoreError:  # the claims end with their leases, or with this process
            return
