"""What a guard starts when its owner died before it reported: decide from the record, and report."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from raydp_wrap.errors import RaydpWrapError
from raydp_wrap.model import Submission
from raydp_wrap.outcome import from_record
from raydp_wrap.process import parse_record
from raydp_wrap.report import Report

__all__ = ["main"]


def main(directory: str) -> None:
    """Report the job in DIRECTORY, whose exit record is on stdin, and remove it.

    A report that can't be written leaves the directory, with record and all, where it is.
    """
    home = Path(directory)
    record = parse_record(sys.stdin.buffer.read(), "the guard's record")
    job = json.loads((home / "job.json").read_text(encoding="utf-8"))
    outcome = from_record(record, Submission(job["submission_id"], job["name"], record.started_at))
    if job["report"] is not None:
        try:
            report = Report(job["report"], job["submission_id"])
            # Written just before the owner died: it is decided once, and the owner knew more than the record.
            if report.tells_of(job["submission_id"]):
                report.discard()
            else:
                report.write(outcome)
        except (OSError, RaydpWrapError) as error:
            sys.exit(str(error))
    shutil.rmtree(home, ignore_errors=True)
