"""What a reporter needs of an outbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from raydp_wrap.store import Claimer, Delivery, Settlement

__all__ = ["Outbox"]


class Outbox(Protocol):
    """A :class:`Store`, or what stands in for one that fails."""

    def claim(
        self,
        claimer: Claimer,
        *,
        submission_id: str | None = None,
        lease: float = 30.0,
        retry_failed: bool = False,
        limit: int = 100,
    ) -> list[Delivery]:
        """Take what is due, at most LIMIT."""

    def settle_all(self, settlements: Iterable[Settlement]) -> list[bool]:
        """Note what became of each; False if the claim was lost."""

    def release(self, deliveries: Iterable[Delivery]) -> None:
        """Give claims back untried."""

    def next_due(self) -> float | None:
        """When :meth:`claim` may have something, in seconds since the epoch."""
