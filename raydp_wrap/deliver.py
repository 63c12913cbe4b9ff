"""What a guard starts when its owner died before it had told everyone: decide from the record, and report."""

from __future__ import annotations

import sys
from pathlib import Path

from raydp_wrap import sinks
from raydp_wrap.errors import RaydpWrapError
from raydp_wrap.process import parse_record
from raydp_wrap.repair import Repairs
from raydp_wrap.reporter.reporting import report
from raydp_wrap.runs import Run
from raydp_wrap.store import Store

__all__ = ["main"]

_PATIENCE = 10.0


def main(path: str) -> None:
    """Decide how the run in the directory PATH ended, by the exit record on stdin, and tell its sinks.

    What can't be done now is left, record and all, for ``raydp-wrap deliver``.
    """
    directory = Path(path)
    try:
        record = parse_record(sys.stdin.buffer.read(), "the guard's record")
        with Store(directory.parent.parent) as store:
            submission = store.submission(directory.name)
            if submission is None:
                sys.exit(f"raydp-wrap: the store doesn't know the submission {directory.name}.")
            # The lock is ours: the guard has handed it over.
            run = Run(directory, -1)
            concluded = Repairs(store, directory.parent.parent, _tell).decide(submission, run, record)
            if concluded.stored:
                run.remove()
            report(concluded, lambda text: sinks.make(text, _tell), _PATIENCE, _tell)
    except RaydpWrapError as error:
        sys.exit(f"raydp-wrap: {error}")


def _tell(text: str) -> None:
    print(f"raydp-wrap: {text}", file=sys.stderr)  # noqa: T201 - nobody else is left to tell
