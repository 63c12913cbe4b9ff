"""The end of a submission: decided once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from raydp_wrap.errors import AlreadyDecidedError, StoreError, StoreFullError
from raydp_wrap.store import Claimer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from raydp_wrap.model import Outcome, Submission
    from raydp_wrap.reporter.outbox import Outbox
    from raydp_wrap.runs import Run
    from raydp_wrap.store import Delivery, Store

__all__ = ["LEASE", "Concluded", "conclude"]

#: Seconds that a claim lasts: longer than any try, so that only a sender that was stopped loses it.
LEASE: Final = 60.0


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
    run: Run | None,
    claim: bool = True,
) -> Concluded:
    """Make OUTCOME the submission's, unless it has one: then that one stands.

    With CLAIM, what is untold of it is this process's to tell. A store that fails (on a full disk: after RUN
    has given back what it had reserved) changes nothing of how the job ended: the outcome is kept in RUN's
    directory, TELL is told, and so are the sinks.
    """
    try:
        try:
            return _stored(store, outcome, claim=claim)
        except StoreFullError:
            if run is None or not run.make_room():
                raise
            return _stored(store, outcome, claim=claim)
    except StoreError as error:
        if run is not None:
            from raydp_wrap.reporter.kept import keep  # noqa: PLC0415 - rarely needed

            run.make_room()
            keep(run.directory, outcome)
        tell(f"the outcome could not be stored, it is {outcome.state.value}: {error}")
        from raydp_wrap.reporter.unstored import Unstored  # noqa: PLC0415 - rarely needed

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
