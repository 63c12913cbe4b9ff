"""Submissions that nobody sees to any more: decided from what their guards left, however late."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from raydp_wrap import plugins
from raydp_wrap.errors import RecordError
from raydp_wrap.model import Event, EventKind
from raydp_wrap.outcome import from_record, without_record
from raydp_wrap.process import read_record, sweep
from raydp_wrap.reporter.conclude import conclude
from raydp_wrap.runs import Run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from raydp_wrap.model import ExitRecord, Outcome, Submission
    from raydp_wrap.reporter.conclude import Concluded
    from raydp_wrap.store import Store

__all__ = ["decide_by", "repair"]


def decide_by(
    record: ExitRecord,
    store: Store,
    submission: Submission,
    tell: Callable[[str], None],
    *,
    make_room: Callable[[], bool],
    claim: bool = True,
) -> Concluded:
    """Decide how SUBMISSION, whose owner is dead, ended by its exit RECORD, unless that has been decided."""
    more = plugins.evidence(submission, record, tell)
    outcome = from_record(record, submission, more=more)
    return _concluded(store, submission, outcome, tell, make_room=make_room, claim=claim)


def repair(store: Store, home: Path, tell: Callable[[str], None]) -> list[Outcome]:
    """Decide every submission whose owner and guard are both gone, and clean up after it; their outcomes.

    What is left of such a job's processes is ended. The reports wait in the outbox.
    """
    found = [_repaired(store, home, submission, tell) for submission in store.undecided()]
    for submission_id in Run.all(home):
        _clean_up(store, home, submission_id, tell)
    return [outcome for outcome in found if outcome is not None]


def _repaired(store: Store, home: Path, submission: Submission, tell: Callable[[str], None]) -> Outcome | None:
    run = Run.adopt(home, submission.submission_id)
    if run is None:
        if Run.exists(home, submission.submission_id):
            return None  # its owner or its guard lives
        return _lost(store, submission, tell, lambda: False, "its directory is gone")
    with run:
        try:
            record = read_record(run.record)
        except RecordError as error:
            return _lost(store, submission, tell, run.make_room, str(error))
        if record is None or record.identity != submission.submission_id:
            outcome = _lost(store, submission, tell, run.make_room)
        else:
            outcome = decide_by(record, store, submission, tell, make_room=run.make_room, claim=False).outcome
        run.remove()
        return outcome


def _lost(
    store: Store, submission: Submission, tell: Callable[[str], None], make_room: Callable[[], bool], *remarks: str
) -> Outcome:
    swept, clean = sweep(submission.submission_id)
    left = "none that can be seen to carry its mark is left" if clean else "some could not be ended"
    said = (*remarks, f"tree not proven empty: {swept} processes were swept, {left}")
    outcome = without_record(submission, at=time.time(), remarks=said)
    return _concluded(store, submission, outcome, tell, make_room=make_room, claim=False).outcome


def _concluded(
    store: Store,
    submission: Submission,
    outcome: Outcome,
    tell: Callable[[str], None],
    *,
    make_room: Callable[[], bool],
    claim: bool,
) -> Concluded:
    concluded = conclude(store, submission, outcome, tell, make_room=make_room, claim=claim)
    if concluded.decided:
        plugins.event(Event(EventKind.TERMINAL, submission, outcome.attempt, time.time(), concluded.outcome), tell)
    return concluded


def _clean_up(store: Store, home: Path, submission_id: str, tell: Callable[[str], None]) -> None:
    """Remove a directory that its owner had no time to remove, or had not yet begun to use."""
    run = Run.adopt(home, submission_id)
    if run is None:
        return
    with run:
        try:
            known, recorded = store.submission(submission_id), run.record.exists()
            if known is None and recorded:
                tell(f"{run.directory} holds an exit record of a job that the store doesn't know: look at it.")
            elif known is None or store.outcome(submission_id) is not None:
                if recorded:
                    read_record(run.record)  # a damaged one is kept, to be looked at
                run.remove()
        except RecordError as error:
            tell(str(error))
