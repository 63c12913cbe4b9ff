"""Killed before any statement of an operation: the job is as it was, or as it should be, and nothing between."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from store.job_making import NOW, OPERATIONS, template
from store.making import ENV, PROGRAMS, home

from raydp_wrap.errors import UsageError
from raydp_wrap.store import Store
from raydp_wrap.testing import FakeJobs

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["home"]


def seen(jobs: Any, submission_id: str) -> list[object]:
    """All that can be seen of one job, and of what its change does to others."""
    found: list[object] = [jobs.job(submission_id), jobs.outcome(submission_id), jobs.last_seq(), jobs.unfinished()]
    found += [jobs.changes(0), jobs.changed(0), sorted(jobs.waiting_for("runs")), jobs.expired(NOW.after(100))]
    try:
        found += [jobs.history(submission_id), jobs.remains(submission_id), jobs.context(submission_id)]
    except UsageError as error:
        found.append(str(error))
    return found


def untold(store: Store, submission_id: str) -> int:
    return sum(row.submission_id == submission_id for row in store.undelivered())


@pytest.mark.requirement("retry-rule-10", "jobs-1.1")
def test_an_operation_is_all_or_nothing(home: Path, tmp_path: Path) -> None:
    with Store(home) as store:
        template(store.jobs)
    folder = tmp_path / "killed"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, PROGRAMS / "killed_steps.py", str(home), str(folder)],
        env=ENV,
        stdout=subprocess.PIPE,
        timeout=100,
        check=True,
    )
    counts = json.loads(done.stdout)
    assert set(counts) == set(OPERATIONS)
    for name, count in counts.items():
        submission_id = name.partition("-")[0]
        old, new = FakeJobs(), FakeJobs()
        for fake in (old, new):
            template(fake)
        OPERATIONS[name](new)
        before, after = seen(old, submission_id), seen(new, submission_id)
        assert before != after
        assert count >= 5, "BEGIN, a look, a change, COMMIT"
        for number in range(1, count + 1):
            with Store(folder / f"{name}-{number}") as store:
                found = seen(store.jobs, submission_id)
                assert found == (before if number < count else after), (name, number)
                sinks = (old if number < count else new).job(submission_id)
                told = sinks is None or not sinks.phase.terminal
                assert untold(store, submission_id) == (0 if told or sinks is None else len(sinks.submission.sinks))
                assert store.undecided() == []
