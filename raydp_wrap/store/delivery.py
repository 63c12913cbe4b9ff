"""One row of the outbox, as senders and people see it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raydp_wrap.model import Outcome

__all__ = ["Delivery", "DeliveryStatus", "Settlement", "Undelivered", "delivery_key"]


class DeliveryStatus(Enum):
    """What has become of a report. DELIVERED and REJECTED are final; FAILED is given up until somebody asks again."""

    PENDING = "pending"
    DELIVERED = "delivered"
    REJECTED = "rejected"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Delivery:
    """A report that the caller, and nobody else, may send now: claimed, until the lease is over.

    ``tries`` is how often sending it was begun before, by whomever. ``token`` is the claim's own: a claim that
    was lost to another can't settle anything.
    """

    submission_id: str
    sink: str
    key: str
    tries: int
    token: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Settlement:
    """What has become of DELIVERY. ``next_try_at`` (seconds since the epoch; None at once) is read for PENDING only."""

    delivery: Delivery
    status: DeliveryStatus
    next_try_at: float | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Undelivered:
    """A report that its sink has not accepted. Times are seconds since the epoch."""

    submission_id: str
    sink: str
    status: DeliveryStatus
    tries: int
    next_try_at: float
    claimed: bool
    last_error: str
    updated_at: float


def delivery_key(submission_id: str, position: int) -> str:
    """The key of a submission's sink number POSITION (equal sinks count once, from 1).

    Not made of the sink's text: a URL may hold a token, which even a hash would give away to who can guess.
    """
    return f"{submission_id}.{position}"
