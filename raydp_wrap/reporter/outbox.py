"""What a reporter needs of an outbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from raydp_wrap.store import Claimer, Delivery, DeliveryStatus

__all__ = ["Outbox"]


class Outbox(Protocol):
    """A :class:`Store`, or what stands in for one that fails."""

    def claim(
        self, claimer: Claimer, *, submission_id: str | None = None, lease: float = 30.0, retry_failed: bool = False
    ) -> list[Delivery]:
        """Take what is due."""

    def settle(
        self, delivery: Delivery, status: DeliveryStatus, *, next_try_at: float | None = None, error: str = ""
    ) -> bool:
        """Note what became of DELIVERY; False if the claim was lost."""

    def release(self, deliveries: Iterable[Delivery]) -> None:
        """Give claims back untried."""

    def next_due(self) -> float | None:
        """When :meth:`claim` may have something, in seconds since the epoch."""
