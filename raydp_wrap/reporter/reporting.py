"""Tell the sinks of a concluded submission, and a person of those that have not taken it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raydp_wrap.errors import StoreError
from raydp_wrap.reporter.reporter import Reporter
from raydp_wrap.sinks import redacted
from raydp_wrap.store import DeliveryStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from raydp_wrap.backend import Sink
    from raydp_wrap.reporter.conclude import Concluded
    from raydp_wrap.reporter.reporter import Interrupt, Told

__all__ = ["report", "sentence"]


def report(
    concluded: Concluded,
    make: Callable[[str], Sink],
    patience: float,
    tell: Callable[[str], None],
    *,
    interrupt: Interrupt | None = None,
) -> None:
    """Tell the sinks for at most PATIENCE seconds, and TELL a person of those that have not taken it."""
    try:
        told = Reporter(concluded.outbox, make).deliver(concluded.deliveries, patience, interrupt=interrupt)
    except (StoreError, OSError) as error:
        tell(f"not all could be told of the outcome: {error}")
        return
    for one in told:
        if text := sentence(one, stored=concluded.stored):
            tell(text)


def sentence(told: Told, *, stored: bool = True) -> str:
    """What to say of a report that was not delivered; "" where there is nothing to say."""
    if told.status is DeliveryStatus.DELIVERED:
        return ""
    sink = redacted(told.sink)
    if told.status is DeliveryStatus.REJECTED:
        return f"the outcome, {told.state.value}, was rejected by {sink}: {told.text}"
    later = "; raydp-wrap deliver sends it later" if stored else ""
    return f"the outcome, {told.state.value}, was not delivered to {sink}: {told.text}{later}"
