"""Deliver claimed reports: all sinks at once, each in a process of its own, for as long as the caller has patience."""

from __future__ import annotations

import heapq
import select
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from raydp_wrap.backend import Answer, Verdict
from raydp_wrap.diagnostics import redact
from raydp_wrap.errors import StoreError
from raydp_wrap.model import Report
from raydp_wrap.reporter.backoff import MAX_TRIES, pause
from raydp_wrap.reporter.call import Call
from raydp_wrap.reporter.conclude import LEASE
from raydp_wrap.store import Claimer, DeliveryStatus, Settlement

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
_LOOK = 1.0  # no event tells of what another process has committed
_WITHOUT_APP_ID = 3600.0  # learning the id makes it due at once


@dataclass(frozen=True, slots=True)
class Told:
    """What became of one report in this process; ``text`` says why it was not delivered, or why it is sent again."""

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
    """Sends what is in the outbox. MAKE makes a sink from its text. For one thread; forks.

    Once the outbox has failed it is not asked again within the same :meth:`deliver`, which would wait each time:
    the sinks are told without it, and told again by whoever sends later.
    """

    def __init__(self, outbox: Outbox, make: Callable[[str], Sink], *, try_timeout: float = TRY_TIMEOUT) -> None:
        self._outbox = outbox
        self.claimer = Claimer.of_this_process()
        self._make = make
        self._try_timeout = min(try_timeout, TRY_TIMEOUT)
        self._retry_failed = False
        self._failure: StoreError | None = None
        self._poll = select.poll()
        self._waiting: deque[Delivery] = deque()
        self._sending: dict[int, _Sending] = {}
        self._done: list[tuple[Delivery, Answer]] = []
        self._told: dict[tuple[str, str], Told] = {}
        self._again: list[tuple[float, str]] = []  # a heap: when, which submission ("" is any)

    def drain(self, patience: float, *, interrupt: Interrupt | None = None) -> list[Told]:
        """Claim and send all that is due, what was given up before too, for at most PATIENCE seconds."""
        self._retry_failed = True
        return self.deliver(self._claim(None, _PARALLEL), patience, interrupt=interrupt, more=True)

    def deliver(
        self, deliveries: Iterable[Delivery], patience: float, *, interrupt: Interrupt | None = None, more: bool = False
    ) -> list[Told]:
        """Send DELIVERIES, which this process has just claimed, again and again as their sinks answer.

        Returns what became of each, after PATIENCE seconds at the latest (and what the outbox takes to note it),
        and as soon as INTERRUPT says so: what is not delivered then stays in the outbox. With MORE, whatever
        becomes due meanwhile is sent as well.
        """
        self._waiting.extend(deliveries)
        self._failure = None
        end = time.monotonic() + patience
        # A try that begins later may outlast its claim.
        claimed = time.monotonic() + LEASE - self._try_timeout
        fd, interrupted = interrupt or (-1, lambda: False)
        if interrupt:
            self._poll.register(fd, select.POLLIN)
        try:
            while True:
                if time.monotonic() >= claimed and self._failure is None:
                    self._give_back()
                self._start(end)
                if self._free() and not self._waiting and time.monotonic() < end:
                    self._waiting.extend(self._due(more=more))
                    self._start(end)
                self._note()
                now = time.monotonic()
                later = bool(self._again) and now + self._again[0][0] - time.time() < end
                if now >= end or not (self._sending or self._waiting or later):
                    break
                ready = {ready for ready, _ in self._poll.poll(self._pause(end, now, more=more) * 1000)}
                if fd in ready and interrupted():
                    break
                for ended in ready - {fd}:
                    self._finished(self._sending.pop(ended))
                self._end_overdue()
                self._note()
        finally:
            if interrupt:
                self._poll.unregister(fd)
            # The outbox may have taken its time: some have answered meanwhile.
            for ended in {ready for ready, _ in self._poll.poll(0)} & set(self._sending):
                self._finished(self._sending.pop(ended))
            while self._sending:
                self._give_up(self._sending.popitem()[1])
            self._note()
            self._give_back()
            self._waiting.clear()
        return list(self._told.values())

    def _free(self) -> int:
        return _PARALLEL - len(self._sending)

    def _pause(self, end: float, now: float, *, more: bool) -> float:
        until = [end, *(one.until for one in self._sending.values())]
        if self._again and self._free():
            until.append(now + max(0.0, self._again[0][0] - time.time()))
        if more and self._free() and self._failure is None:
            until.append(now + _LOOK)
        # poll() counts in whole milliseconds, and rounds up.
        return max(0.0, min(until) - now)

    def _due(self, *, more: bool) -> list[Delivery]:
        """What was put off until now, as much as can be started at once."""
        if self._failure is not None:
            return []
        try:
            return self._due_of_all() if more else self._due_of_ours()
        except StoreError as error:
            self._fail(error)
            return []

    def _due_of_all(self) -> list[Delivery]:
        # Others may have put off, or settled, or may have died with, what is not ours.
        due, found = self._outbox.next_due(), []
        if self._retry_failed or (due is not None and due <= time.time()):
            found = self._claim(None, self._free())
            due = self._outbox.next_due()
            if due is not None and due <= time.time():  # more than can be started now, or not to be had
                due = time.time() + _LOOK
        self._again = [] if due is None else [(due, "")]
        return found

    def _due_of_ours(self) -> list[Delivery]:
        submissions = set()
        while self._again and self._again[0][0] <= time.time():
            submissions.add(heapq.heappop(self._again)[1])
        found: list[Delivery] = []
        for submission in submissions:
            if len(found) < self._free():
                found += self._claim(submission, self._free() - len(found))
            if len(found) >= self._free():
                heapq.heappush(self._again, (time.time(), submission))  # it may have more
        return found

    def _claim(self, submission_id: str | None, limit: int) -> list[Delivery]:
        found = self._outbox.claim(
            self.claimer, submission_id=submission_id, lease=LEASE, retry_failed=self._retry_failed, limit=limit
        )
        if len(found) < limit:
            # All that were given up before are claimed: whichever is given up from here on stays so.
            self._retry_failed = False
        return found

    def _start(self, end: float) -> None:
        sending = {one.delivery.key: one for one in self._sending.values()}
        while self._waiting and self._free() and time.monotonic() < end:
            delivery = self._waiting.popleft()
            if delivery.key in sending:
                # Our own claim ran out while we were stopped, and this is the new one.
                sending[delivery.key].delivery = delivery
                continue
            try:
                call = Call(lambda delivery=delivery: self._send(delivery))  # type: ignore[misc]
            except OSError as error:  # no process, no descriptor left
                self._done.append((delivery, Answer(Verdict.RETRY_AFTER, f"nothing can be started: {error.strerror}")))
                continue
            one = _Sending(call, delivery, time.monotonic() + self._try_timeout)
            self._sending[call.fileno()] = sending[delivery.key] = one
            self._poll.register(call.fileno(), select.POLLIN)

    def _send(self, delivery: Delivery) -> Answer:
        """In the child."""
        sink = self._make(delivery.sink)
        if sink.needs_app_id and delivery.outcome.app_id is None:
            return Answer(Verdict.RETRY_AFTER, "the app id is not known yet", _WITHOUT_APP_ID)
        return sink.deliver(Report(delivery.key, delivery.sink, delivery.outcome, delivery.tries + 1))

    def _finished(self, one: _Sending) -> None:
        self._poll.unregister(one.call.fileno())
        try:
            answer = one.call.answer()
        finally:
            one.call.close()
        self._done.append((one.delivery, answer))

    def _end_overdue(self) -> None:
        now = time.monotonic()
        for fd in [fd for fd, one in self._sending.items() if one.until <= now]:
            self._give_up(self._sending.pop(fd))

    def _give_up(self, one: _Sending) -> None:
        self._poll.unregister(one.call.fileno())
        one.call.close()
        self._done.append((one.delivery, Answer(Verdict.RETRY_AFTER, "no answer in time")))

    def _note(self) -> None:
        """Note in the outbox what is done, in one step; where another process has taken over, that one does."""
        if not self._done:
            return
        settlements = [_settlement(delivery, answer) for delivery, answer in self._done]
        self._done.clear()
        held = [True] * len(settlements)
        if self._failure is None:
            try:
                held = self._outbox.settle_all(settlements)
            except StoreError as error:
                self._fail(error)
        for settled in (settled for settled, ours in zip(settlements, held, strict=True) if ours):
            text = settled.error
            if self._failure is None:
                if settled.next_try_at is not None:
                    heapq.heappush(self._again, (settled.next_try_at, settled.delivery.submission_id))
            elif settled.status is DeliveryStatus.DELIVERED:
                text = f"this could not be noted, so it is sent again: {self._failure}"
            else:
                text = text or str(self._failure)
            self._tell(settled.delivery, settled.status, text)

    def _tell(self, delivery: Delivery, status: DeliveryStatus, text: str) -> None:
        told = Told(delivery.submission_id, delivery.sink, delivery.outcome.state, status, text)
        self._told[delivery.submission_id, delivery.sink] = told

    def _fail(self, error: StoreError) -> None:
        """Do without the outbox. The claims end with their leases, or with this process."""
        self._failure = error
        self._again.clear()

    def _give_back(self) -> None:
        """Let others have what could not be started yet; if there is time, it is claimed again."""
        if not self._waiting:
            return
        back = list(self._waiting)
        self._waiting.clear()
        for delivery in back:
            if (delivery.submission_id, delivery.sink) not in self._told:
                self._tell(delivery, DeliveryStatus.PENDING, "there was no time for it")
        if self._failure is not None:
            return
        try:
            self._outbox.release(back)
        except StoreError as error:
            self._fail(error)
            self._waiting.extend(back)
            return
        for submission in {delivery.submission_id for delivery in back}:
            heapq.heappush(self._again, (time.time(), submission))


def _settlement(delivery: Delivery, answer: Answer) -> Settlement:
    """What ANSWER means for the outbox."""
    tries, text = delivery.tries + 1, redact(answer.text)
    if answer.verdict in (Verdict.ACCEPTED, Verdict.DUPLICATE):
        return Settlement(delivery, DeliveryStatus.DELIVERED)
    if answer.verdict is Verdict.REJECTED:
        return Settlement(delivery, DeliveryStatus.REJECTED, error=text)
    if tries >= MAX_TRIES:
        return Settlement(delivery, DeliveryStatus.FAILED, error=text)
    return Settlement(delivery, DeliveryStatus.PENDING, time.time() + pause(tries, answer.seconds), text)
