"""What is looked up of jobs, each by one statement."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from raydp_wrap.errors import StoreError
from raydp_wrap.job import Capacity
from raydp_wrap.model import Attempt
from raydp_wrap.request import Context, Phase
from raydp_wrap.store import job_rows
from raydp_wrap.store.asking import no_job

if TYPE_CHECKING:
    from collections.abc import Mapping

    import apsw

    from raydp_wrap.job import Change, Job
    from raydp_wrap.model import Outcome

__all__ = [
    "UNFINISHED",
    "capacity",
    "changes",
    "context",
    "counts",
    "expired",
    "history",
    "job",
    "jobs",
    "last_seq",
    "next_expiry",
    "phase_of",
    "place_of",
    "remains",
    "untold",
    "waiting_for",
]

UNFINISHED: Final = tuple(phase for phase in Phase if not phase.terminal)


def job(connection: apsw.Connection, submission_id: str) -> Job | None:
    """The job of that id."""
    row = connection.execute(f"{job_rows.SELECT} WHERE submission_id = ?", (submission_id,)).fetchone()
    return None if row is None else job_rows.job_of(row)


def jobs(
    connection: apsw.Connection, words: str, values: tuple[Any, ...] = ()
) -> tuple[list[Job], list[tuple[str, str]]]:
    """All that WORDS (what follows FROM) choose; and of those that can't be read the ids, each with why."""
    found: list[Job] = []
    unreadable: list[tuple[str, str]] = []
    for row in connection.execute(job_rows.SELECT + words, values):
        try:
            found.append(job_rows.job_of(row))
        except StoreError as error:
            unreadable.append((str(row[0]), str(error)))
    return found, unreadable


def place_of(connection: apsw.Connection, submission_id: str) -> int:
    """The place of a job. Raises UsageError where there is none."""
    row: Any = connection.execute("SELECT place FROM jobs WHERE submission_id = ?", (submission_id,)).fetchone()
    if row is None:
        raise no_job(submission_id)
    place: int = row[0]
    return place


def phase_of(connection: apsw.Connection, submission_id: str) -> Phase | None:
    """The phase of a job; None if there is none."""
    row: Any = connection.execute("SELECT phase FROM jobs WHERE submission_id = ?", (submission_id,)).fetchone()
    return None if row is None else Phase(row[0])


def last_seq(connection: apsw.Connection) -> int:
    """Of changes that were forgotten, too."""
    row: Any = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'changes'").fetchone()
    return 0 if row is None else int(row[0])


def changes(connection: apsw.Connection, since: int, submission_id: str | None, limit: int) -> list[Change]:
    """Oldest first."""
    # With a + no index is used: in the table they are in order already.
    which = "" if submission_id is None else " AND changes.place = (SELECT place FROM jobs WHERE submission_id = ?)"
    rows = connection.execute(
        "SELECT changes.seq, submission_id, kind, changes.phase, changes.attempt, at, detail"  # noqa: S608 - our own words
        f" FROM changes CROSS JOIN jobs USING (place) WHERE changes.seq > ?{which} ORDER BY changes.seq LIMIT ?",
        (since, limit) if submission_id is None else (since, submission_id, limit),
    )
    return [job_rows.change_of(row) for row in rows]


def context(connection: apsw.Connection, submission_id: str) -> Context:
    """What it has from its submitter."""
    row = connection.execute("SELECT umask, nofile, environ FROM jobs WHERE submission_id = ?", (submission_id,))
    found: Any = row.fetchone()
    if found is None:
        raise no_job(submission_id)
    return job_rows.context_of(*found)


def _attempts(connection: apsw.Connection, submission_id: str) -> list[Any]:
    """One row at least, where there is such a job."""
    rows: list[Any] = connection.execute(
        "SELECT number, attempts.created_at, attempts.document, outcome, app_id, saved FROM jobs"
        " JOIN submissions USING (submission_id) LEFT JOIN attempts USING (submission_id)"
        " WHERE submission_id = ? ORDER BY number",
        (submission_id,),
    ).fetchall()
    if not rows:
        raise no_job(submission_id)
    return [row for row in rows if row[0] is not None]


def history(connection: apsw.Connection, submission_id: str) -> list[tuple[Attempt, Outcome | None]]:
    """Its attempts and their ends."""
    return [
        (Attempt(submission_id, number, at), job_rows.end_of(document, decided, app_id))
        for number, at, document, decided, app_id, _ in _attempts(connection, submission_id)
    ]


def remains(connection: apsw.Connection, submission_id: str) -> list[tuple[Attempt, Mapping[str, Any]]]:
    """Its attempts and what their backends saved."""
    rows = _attempts(connection, submission_id)
    return [
        (
            Attempt(submission_id, number, at),
            json.loads(saved or "{}") if place == len(rows) and not _kept(document) else _kept(document),
        )
        for place, (number, at, document, _, _, saved) in enumerate(rows, 1)
    ]


def _kept(document: str) -> Mapping[str, Any]:
    saved: Mapping[str, Any] = json.loads(document).get("saved", {})
    return saved


def capacity(connection: apsw.Connection) -> Capacity:
    """What was set."""
    row: Any = connection.execute("SELECT document FROM capacity").fetchone()
    return Capacity() if row is None else job_rows.capacity_of(row[0])


def counts(connection: apsw.Connection) -> dict[Phase, int]:
    """How many there are in each phase; of the index alone."""
    found: dict[Any, Any] = dict(connection.execute("SELECT phase, count(*) FROM jobs GROUP BY phase"))
    return {phase: found.get(phase.value, 0) for phase in Phase}


def waiting_for(connection: apsw.Connection, submission_id: str) -> list[str]:
    """The undecided jobs that come after it."""
    rows: Any = connection.execute(
        "SELECT waiting FROM dependencies WHERE submission_id = ? ORDER BY waiting", (submission_id,)
    )
    return [waiting for (waiting,) in rows]


def untold(connection: apsw.Connection, submission_id: str) -> bool:
    """Whether a report of it waits."""
    row = connection.execute(
        "SELECT 1 FROM outbox WHERE submission_id = ? AND status = 'pending'", (submission_id,)
    ).fetchone()
    return row is not None


def next_expiry(connection: apsw.Connection, wall: float) -> float | None:
    """Seconds until the next job's time is over."""
    rows: Any = connection.execute("SELECT min(expires_at) FROM jobs WHERE expires_at > ?", (wall,))
    ((at,),) = rows
    return None if at is None else at - wall


def expired(connection: apsw.Connection, wall: float, limit: int) -> list[str]:
    """The jobs whose time is over, and that nothing holds any more."""
    rows: Any = connection.execute(
        "SELECT submission_id FROM jobs WHERE expires_at <= ?"
        " AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.submission_id = jobs.submission_id"
        " AND status = 'pending')"
        " AND NOT EXISTS (SELECT 1 FROM dependencies WHERE dependencies.submission_id = jobs.submission_id)"
        " ORDER BY expires_at, place LIMIT ?",
        (wall, limit),
    )
    return [submission_id for (submission_id,) in rows]
