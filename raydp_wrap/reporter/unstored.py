"""An outbox in memory, for an outcome that the store could not take."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from raydp_wrap.store import DeliveryStatus
from raydp_wrap.store.delivery import Delivery, delivery_key

if TYPE_CHECKING:
    from collections.abc import Iterable

    from raydp_wrap.model import Outcome, Submission
    from raydp_wrap.store import Claimer, Settlement

__all__ = ["Unstored"]


class Unstored:
    """One outcome's reports, as long as this process lives. The keys are those the store would give."""

    def __init__(self, submission: Submission, outcome: Outcome) -> None:
        self._due = [
            (0.0, Delivery(outcome.submission_id, sink, delivery_key(outcome.submission_id, position), 0, "", outcome))
            for position, sink in enumerate(dict.fromkeys(submission.sinks), start=1)
        ]

    def claim(
        self,
        claimer: Claimer,
        *,
        submission_id: str | None = None,
        lease: float = 30.0,
        retry_failed: bool = False,
        limit: int = 100,
    ) -> list[Delivery]:
        """The first LIMIT that are due."""
        del claimer, submission_id, lease, retry_failed  # there is one of each
        now = time.time()
        found = [one for one in self._due if one[0] <= now][:limit]
        self._due = [one for one in self._due if one not in found]
        return [delivery for _, delivery in found]

    def settle_all(self, settlements: Iterable[Settlement]) -> list[bool]:
        """Keep what is to be tried again."""
        settled = list(settlements)
        self._due += [
            (one.next_try_at or 0.0, replace(one.delivery, tries=one.delivery.tries + 1))
            for one in settled
            if one.status is DeliveryStatus.PENDING
        ]
        return [True] * len(settled)

    def release(self, deliveries: Iterable[Delivery]) -> None:
        """Let them be."""
        self._due += [(0.0, delivery) for delivery in deliveries]

    def next_due(self) -> float | None:
        """When the next is to be tried again."""
        return min((at for at, _ in self._due), default=None)
