"""The end of a submission: decided once, then told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from raydp_wrap.errors import AlreadyDecidedError, StoreError
from raydp_wrap.reporter.reporter import LEASE, Reporter
from raydp_wrap.reporter.unstored import Unstored
from raydp_wrap.sinks import redacted
from raydp_wrap.store import Claimer, DeliveryStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from raydp_wrap.backend import Sink
    from raydp_wrap.model import Outcome, Submission
    from raydp_wrap.reporter.outbox import Outbox
    from raydp_wrap.reporter.reporter import Interrupt, Told
    from raydp_wrap.store import Delivery, Store

__all__ = ["Concluded", "conclude", "report"]


@dataclass(frozen=True, slots=True)
class Concluded:
    """The outcome that stands, and what of it this process is to tell.

    ``decided``: it is the one that was brought here, not an earlier one. ``stored``: the store knows it.
    """

    outcome: Outcome
    deliveries: Sequence[Delivery]
    outbox: Outbox
    decided: bool = True
    stored: bool = True


def conclude(
    store: Store,
    submission: Submission,
    outcome: Outcome,
    tell: Callable[[str], None],
    *,
    make_room: Callable[[], bool],
    claim: bool = True,
) -> Concluded:
    """Make OUTCOME the submission's, unless it has one: then that one stands.

    With CLAIM, what is untold of it is this process's to tell. A store that fails (after MAKE_ROOM has given a
    full disk some room, too) changes nothing of how the job ended: TELL is told, and the sinks without it.
    """
    try:
        try:
            return _stored(store, outcome, claim=claim)
        except StoreError:
            if not make_room():
                raise
            return _stored(store, outcome, claim=claim)
    except StoreError as error:
        tell(f"the outcome could not be stored, it is {outcome.state.value}: {error}")
        unstored = Unstored(submission, outcome)
        deliveries = unstored.claim(Claimer.of_this_process()) if claim else ()
        return Concluded(outcome, deliveries, unstored, stored=False)


def _stored(store: Store, outcome: Outcome, *, claim: bool) -> Concluded:
    claimer = Claimer.of_this_process()
    try:
        deliveries = store.finish(outcome, claimer=claimer if claim else None, lease=LEASE)
        return Concluded(outcome, deliveries if claim else (), store)
    except AlreadyDecidedError as error:
        untold = store.claim(claimer, submission_id=outcome.submission_id, lease=LEASE) if claim else ()
        return Concluded(error.outcome or outcome, untold, store, decided=False)


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
