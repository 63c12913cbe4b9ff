"""Submissions that nobody sees to any more: decided from what their owners and guards left, however late."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from raydp_wrap import plugins
from raydp_wrap.errors import RaydpWrapError, RecordError
from raydp_wrap.model import Event, EventKind
from raydp_wrap.outcome import without_record
from raydp_wrap.process import is_held, read_record, sweep
from raydp_wrap.reporter.conclude import conclude
from raydp_wrap.reporter.kept import kept
from raydp_wrap.runs import Run
from raydp_wrap.watching import judge
from raydp_wrap.watching import kept as kept_by_watches

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from raydp_wrap.model import ExitRecord, Outcome, Submission
    from raydp_wrap.reporter.conclude import Concluded
    from raydp_wrap.store import Store

__all__ = ["Repairs", "repair"]


def repair(store: Store, home: Path, tell: Callable[[str], None]) -> list[Outcome]:
    """Decide every submission whose owner and guard are both gone, and clean up after it; what was decided.

    What is left of such a job's processes is ended. The reports wait in the outbox.
    """
    repairs = Repairs(store, home, tell)
    found = []
    for submission in store.undecided():
        try:
            found.append(repairs.repair(submission))
        except Exception as error:  # noqa: BLE001 - what one can't be judged by must not keep the others waiting
            why = str(error) if isinstance(error, RaydpWrapError) else repr(error)
            tell(f"{submission.submission_id} could not be decided: {why}")
    for submission_id in Run.all(home):
        repairs.clean_up(submission_id)
    return [outcome for outcome in found if outcome is not None]


class Repairs:
    """Decides in the place of owners that are dead."""

    def __init__(self, store: Store, home: Path, tell: Callable[[str], None]) -> None:
        self._store = store
        self._home = home
        self._tell = tell

    def repair(self, submission: Submission) -> Outcome | None:
        """Decide SUBMISSION if nobody sees to it; None where somebody does, or did."""
        run = Run.adopt(self._home, submission.submission_id)
        if run is None:
            return self._without_run(submission)
        with run:
            # Decided, and its directory left, since it was listed?
            if self._store.outcome(submission.submission_id) is not None:
                return None
            record, damaged = None, ""
            try:
                record = read_record(run.record)
            except RecordError as error:
                damaged = str(error)
            if record is not None and record.identity != submission.submission_id:
                record = None
            concluded = self.decide(submission, run, record, damaged, claim=False)
            if concluded.stored and not damaged:  # a damaged record is left, to be looked at
                run.remove()
            return concluded.outcome if concluded.decided else None

    def decide(
        self, submission: Submission, run: Run, record: ExitRecord | None, damaged: str = "", *, claim: bool = True
    ) -> Concluded:
        """Decide by the outcome that its owner kept in RUN, else by the exit RECORD, unless that has been decided.

        Without either the job is lost, and what is left of it is ended; DAMAGED says why there is no record.
        """
        outcome = kept(run.directory, submission.submission_id)
        if outcome is None:
            if record is None:
                return self._lost(submission, run, *filter(None, [damaged]))
            outcome = judge(record, submission, kept_by_watches(run.directory), self._tell)
        return self._concluded(submission, outcome, run, claim=claim)

    def clean_up(self, submission_id: str) -> None:
        """Remove a directory that its owner had no time to remove, or had not yet begun to use."""
        run = Run.adopt(self._home, submission_id)
        if run is None:
            Run.drop_empty(self._home, submission_id)
            return
        with run:
            try:
                known, recorded = self._store.submission(submission_id), run.record.exists()
                if known is None and recorded:
                    self._tell(
                        f"{run.directory} holds an exit record of a job that the store doesn't know: look at it."
                    )
                elif known is None or self._store.outcome(submission_id) is not None:
                    if recorded:
                        read_record(run.record)  # a damaged one is kept, to be looked at
                    run.remove()
            except RecordError as error:
                self._tell(str(error))

    def _without_run(self, submission: Submission) -> Outcome | None:
        identity = submission.submission_id
        if Run.exists(self._home, identity) or self._store.outcome(identity) is not None:
            return None  # its owner or its guard lives, or has just ended
        if is_held(identity):
            self._tell(f"{identity} runs, and somebody has removed its directory: it is left alone.")
            return None
        concluded = self._lost(submission, None, "its directory is gone")
        return concluded.outcome if concluded.decided else None

    def _lost(self, submission: Submission, run: Run | None, *remarks: str) -> Concluded:
        saved = kept_by_watches(run.directory) if run is not None else {}
        plugins.stop_remote(submission, None, self._tell, saved=saved)
        swept, clean = sweep(submission.submission_id)
        left = "none that can be seen to carry its mark is left" if clean else "some could not be ended"
        said = (*remarks, f"tree not proven empty: {swept} processes were swept, {left}")
        outcome = without_record(submission, at=time.time(), remarks=said)
        return self._concluded(submission, outcome, run, claim=False)

    def _concluded(self, submission: Submission, outcome: Outcome, run: Run | None, *, claim: bool) -> Concluded:
        concluded = conclude(self._store, submission, outcome, self._tell, run=run, claim=claim)
        if concluded.decided and concluded.stored:
            event = Event(EventKind.TERMINAL, submission, outcome.attempt, time.time(), concluded.outcome)
            plugins.event(event, self._tell)
        return concluded
