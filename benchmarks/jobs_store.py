"""``python -m benchmarks.jobs_store``: what looking at jobs costs in a store with 100,000 that have ended."""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import apsw

from benchmarks.store import _print
from raydp_wrap.job import Tally
from raydp_wrap.model import Evidence, Outcome, Rank, Reason, Submission, TerminalState, Usage
from raydp_wrap.moment import Moment
from raydp_wrap.request import Context, Phase, Request, RetryPolicy
from raydp_wrap.store import Store
from raydp_wrap.testing import FakeJobs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from raydp_wrap.job import Jobs

_RETRIED = 10  # one job in so many
_COLUMNS = {
    "submissions": "submission_id, name, created_at, state, document, outcome, decided_at",
    "attempts": "submission_id, number, created_at, document",
    "jobs": "submission_id, name, phase, attempt, active, attempt_at, succeeded, failed, exit_code, signal, reason,"
    " started_at, ended_at, saved, request, place, seq",
    "changes": "seq, place, kind, phase, attempt, at, detail",
}
_LONGEST_LIFE = 10  # changes


def _outcome(submission_id: str, state: TerminalState) -> Outcome:
    failed = state is TerminalState.FAILED
    at = 1_800_000_000.25
    return Outcome(
        submission_id=submission_id,
        name="nightly-report",
        attempt=1,
        state=state,
        exit_code=int(failed),
        signal=None,
        reason=Reason.APP_FAILED if failed else None,
        diagnostics="Traceback (most recent call last):\n" + "  a line of what it wrote\n" * 10 if failed else "",
        evidence=(Evidence("guard", "the driver exited by itself", Rank.WAIT_STATUS, at, state, int(failed)),),
        started_at=at - 60,
        ended_at=at,
        rusage=Usage(12.5, 1.25, 123_456_789, 12_345, 12, 1234, 4321, 1234, 123),
    )


def _live(jobs: Jobs, submission_id: str, now: Moment, *, retried: bool) -> None:
    """One job from its submission to its end."""
    tags = {"team": "blue", "stage": "nightly"}
    asked = Request(
        ("python", "-m", "reports.nightly", "--day", "2026-11-22"),
        cwd="/home/somebody/reports",
        env={"REPORTS_OUT": "/var/reports"},
        tags=tags,
        retry=RetryPolicy(backoff_limit=1),
    )
    submission = Submission(submission_id, "nightly-report", now.wall, (), tags)
    jobs.submit(submission, asked, Context({f"VARIABLE_{n}": "x" * 50 for n in range(60)}, 0o22, 1024), now)
    number = 1
    if retried:
        _attempt(jobs, submission_id, number, now)
        failed = _outcome(submission_id, TerminalState.FAILED)
        jobs.retry(submission_id, number, failed, Tally.FAILED, now.after(10), "1 of 1 retries", now)
        number += 1
    _attempt(jobs, submission_id, number, now)
    ended, tally = (TerminalState.FAILED, Tally.FAILED) if retried else (TerminalState.FINISHED, Tally.SUCCEEDED)
    jobs.decide(submission_id, number, _outcome(submission_id, ended), tally, now)


def _attempt(jobs: Jobs, submission_id: str, number: int, now: Moment) -> None:
    jobs.begin(submission_id, None, now)
    saved = {"directory": f"/home/somebody/.local/state/raydp-wrap/jobs/{submission_id}.{number}", "identity": "x" * 40}
    jobs.started(submission_id, number, saved, now.wall, now)


def _fill(home: Path, count: int) -> None:
    """COUNT jobs that have ended: two lives, copied row by row under other ids and numbers."""
    with Store(home) as store:
        now = Moment.now()
        for name, retried in (("one", False), ("two", True)):
            _live(store.jobs, f"{name:-<12}", now, retried=retried)
    connection = apsw.Connection(str(home / "store.db"))
    (trigger,) = connection.execute("SELECT sql FROM sqlite_schema WHERE name = 'jobs_begin_waiting'").fetchone()
    connection.execute("BEGIN IMMEDIATE; DROP TRIGGER jobs_begin_waiting")
    numbers = (
        f"WITH numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count - 2}),"
        " lives (n, place, id, first, whole) AS (SELECT n, place, submission_id, place, printf('%012x', n * 2654435761"
        f" % 281474976710655) FROM numbers JOIN jobs ON (phase = 'FAILED') = (n % {_RETRIED} = 0) WHERE place <= 20)"
    )
    for table, columns in _COLUMNS.items():
        values = (
            columns.replace("submission_id", "whole")
            .replace("place", f"lives.n * {_LONGEST_LIFE} + 20")
            .replace("seq", f"{table}.seq - first + lives.n * {_LONGEST_LIFE} + 20")
        )
        key = "lives.place" if table == "changes" else "lives.id"
        of = f"{table}.place" if table == "changes" else f"{table}.submission_id"
        plain = ", ".join(
            f"{table}.{word}" if word.isidentifier() and word != "whole" else word for word in values.split(", ")
        )
        connection.execute(
            f"{numbers} INSERT INTO {table} ({columns}) SELECT {plain} FROM lives JOIN {table} ON {of} = {key}"
        )
    connection.execute(f"{trigger}; COMMIT")
    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    connection.close()


def _time(samples: int, once: Callable[[], object]) -> str:
    times = []
    for _ in range(samples + 2):
        before = time.perf_counter()
        once()
        times.append(time.perf_counter() - before)
    return f"{1e3 * statistics.median(times[2:]):.3f} ms"


def _looks(home: Path, count: int, samples: int) -> list[list[str]]:
    with Store(home) as store:
        jobs, now = store.jobs, Moment.now()
        assert sum(jobs.counts().values()) == count
        some = jobs.listed(limit=50)[-1].submission_id
        last = jobs.last_seq()
        made = 0

        def live() -> None:
            nonlocal made
            made += 1
            _live(jobs, f"new-{made}", now, retried=False)

        looks: dict[str, Callable[[], object]] = {
            "job(id)": lambda: jobs.job(some),
            "outcome(id)": lambda: jobs.outcome(some),
            "history(id)": lambda: jobs.history(some),
            "find(first 6 letters of an id)": lambda: jobs.find(some[:6]),
            "find('@last')": lambda: jobs.find("@last"),
            "find('@last-100')": lambda: jobs.find("@last-100"),
            "counts()": jobs.counts,
            "listed(limit=50)": lambda: jobs.listed(limit=50),
            "listed(limit=50), FAILED": lambda: jobs.listed(phases=[Phase.FAILED], limit=50),
            "listed(limit=50), all terminal phases": lambda: jobs.listed(
                phases=[phase for phase in Phase if phase.terminal], limit=50
            ),
            "listed(limit=50), by tag": lambda: jobs.listed(tags=[("team", "blue")], limit=50),
            "listed(limit=50), by a tag that none has": lambda: jobs.listed(tags=[("team", "red")], limit=50),
            "listed(limit=50), by name": lambda: jobs.listed(name="nightly-report", limit=50),
            "unfinished()": jobs.unfinished,
            "changed(the last but 10)": lambda: jobs.changed(last - 10),
            "changes(the last but 10)": lambda: jobs.changes(last - 10),
            "expired()": lambda: jobs.expired(now),
            "foreground(20)": lambda: jobs.foreground(20),
            "undecided()": store.undecided,
            "a whole life: 4 commits": live,
        }
        rows = [[title, _time(samples, look)] for title, look in looks.items()]
    rows.append(["open, job(id), close", _time(samples, lambda: _status(home, some))])
    return rows


def _status(home: Path, submission_id: str) -> None:
    with Store(home) as store:
        store.jobs.job(submission_id)


def _in_memory(samples: int) -> str:
    jobs, now, asked, context = FakeJobs(), Moment.now(), Request(("true",)), Context()
    made = [Submission(f"job-{number}", "", 1.0) for number in range(100 * samples)]
    outcomes = [_outcome(one.submission_id, TerminalState.FINISHED) for one in made]
    before = time.perf_counter()
    for submission, outcome in zip(made, outcomes, strict=True):
        jobs.submit(submission, asked, context, now)
        jobs.begin(submission.submission_id, None, now)
        jobs.started(submission.submission_id, 1, {"directory": "x"}, 1.0, now)
        jobs.decide(submission.submission_id, 1, outcome, Tally.SUCCEEDED, now)
    return f"{1e6 * (time.perf_counter() - before) / len(made) / 4:.1f} µs"


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.jobs_store", description=__doc__)
    parser.add_argument("--jobs", type=int, default=100_000, metavar="N", help="how many have ended (100,000)")
    parser.add_argument("--samples", type=int, default=50, metavar="N", help="of each look (50)")
    parser.add_argument("--dir", type=Path, metavar="DIR", help="a directory on the disk to measure (here)")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix=".bench-jobs-", dir=options.dir or Path.cwd()) as name:
        home = Path(name)
        _fill(home, options.jobs)
        size = os.stat(home / "store.db").st_size
        print(f"SQLite {apsw.sqlite_lib_version()}, {os.cpu_count()} processors, {options.jobs:,} jobs that have ended")
        print(f"store.db: {size / 1e6:.1f} MB, {size / options.jobs:,.0f} bytes a job\n")
        rows = _looks(home, options.jobs, options.samples)
    rows.append(["FakeJobs: a change", _in_memory(options.samples)])
    _print(["what", "median"], rows)


if __name__ == "__main__":
    main()
