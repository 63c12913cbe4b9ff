"""Submissions and attempts, as statements on a connection that the caller has begun a transaction on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from raydp_wrap.errors import AlreadyDecidedError, UsageError
from raydp_wrap.model import Attempt, Submission, TerminalState
from raydp_wrap.store import records

if TYPE_CHECKING:
    import apsw

    from raydp_wrap.model import Outcome

__all__ = [
    "already_decided",
    "attempts",
    "bind",
    "decide",
    "next_attempt",
    "outcome",
    "put",
    "put_attempt",
    "submission",
    "undecided",
    "unsupervised",
]

_FIELDS = "submission_id, name, created_at, app_id, document"
_LONGEST_NAME = 1000
LONGEST_APP_ID = 200


def put(connection: apsw.Connection, new: Submission) -> None:
    """A row for NEW."""
    if connection.execute("SELECT 1 FROM submissions WHERE submission_id = ?", (new.submission_id,)).fetchone():
        raise UsageError(f"there is a submission {new.submission_id} already: use another id.")
    document = {"name": new.name, "sinks": list(new.sinks), "tags": dict(new.tags)}
    connection.execute(
        f"INSERT INTO submissions ({_FIELDS}) VALUES (?, ?, ?, ?, ?)",  # noqa: S608 - our own words
        (
            new.submission_id,
            records.readable(new.name, _LONGEST_NAME),
            new.created_at,
            new.app_id,
            records.dump(document),
        ),
    )


def put_attempt(connection: apsw.Connection, new: Attempt) -> Attempt:
    """A row for NEW."""
    connection.execute(
        "INSERT INTO attempts (submission_id, number, created_at, document) VALUES (?, ?, ?, '{}')",
        (new.submission_id, new.number, new.created_at),
    )
    return new


def next_attempt(connection: apsw.Connection, submission_id: str) -> Attempt:
    """A row for one attempt more of a submission that is undecided."""
    _undecided(connection, submission_id)
    (last,) = _row(connection, "SELECT max(number) FROM attempts WHERE submission_id = ?", submission_id)
    return put_attempt(connection, Attempt(submission_id, (last or 0) + 1, time.time()))


def attempts(connection: apsw.Connection, submission_id: str) -> list[Attempt]:
    """Oldest first."""
    rows = connection.execute(
        "SELECT submission_id, number, created_at FROM attempts WHERE submission_id = ? ORDER BY number",
        (submission_id,),
    )
    return [Attempt(*row) for row in rows]


def submission(connection: apsw.Connection, submission_id: str) -> Submission | None:
    """The row, if there is one."""
    rows = connection.execute(
        f"SELECT {_FIELDS} FROM submissions WHERE submission_id = ?",  # noqa: S608 - our own words
        (submission_id,),
    )
    found = rows.fetchone()
    return None if found is None else records.submission_of(found)


def undecided(connection: apsw.Connection) -> list[Submission]:
    """All without a terminal state that are nobody's to supervise, oldest first."""
    rows = connection.execute(
        f"SELECT {_FIELDS} FROM submissions WHERE state = 'UNKNOWN'"  # noqa: S608 - our own words
        " AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.submission_id = submissions.submission_id)"
        " ORDER BY created_at, submission_id"
    )
    return [records.submission_of(row) for row in rows]


def unsupervised(connection: apsw.Connection, limit: int | None) -> list[tuple[Submission, TerminalState]]:
    """All that are nobody's to supervise, whatever their state; newest first."""
    rows: Any = connection.execute(
        f"SELECT {_FIELDS}, state FROM submissions"  # noqa: S608 - our own words
        " WHERE NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.submission_id = submissions.submission_id)"
        " ORDER BY rowid DESC LIMIT ?",
        (-1 if limit is None else limit,),
    )
    return [(records.submission_of(row[:-1]), TerminalState(row[-1])) for row in rows]


def outcome(connection: apsw.Connection, submission_id: str) -> Outcome | None:
    """How it ended; None while that is undecided, or nothing is known of it."""
    rows = connection.execute(
        "SELECT outcome, app_id FROM submissions WHERE submission_id = ? AND state <> 'UNKNOWN'", (submission_id,)
    )
    found = rows.fetchone()
    return None if found is None else records.outcome_of(*found)


def already_decided(submission_id: str, stands: Outcome | None) -> AlreadyDecidedError:
    """What to raise where a decision has been made."""
    state = stands.state.value if stands is not None else "decided"
    return AlreadyDecidedError(f"submission {submission_id} is {state} already, and that is final.", stands)


def decide(connection: apsw.Connection, ended: Outcome, now: float) -> tuple[list[str], str | None]:
    """The latch. Returns the sinks to tell, and the app id that is known by now.

    Raises:
        AlreadyDecidedError: it is decided; the first outcome stands.
        UsageError: there is no such submission.

    """
    from raydp_wrap.outcome import to_dict  # noqa: PLC0415 - a first submission has none to write

    known, document = _undecided(connection, ended.submission_id)
    # Odd as it may be, it must not stand in the decision's way.
    app_id = known if ended.app_id is None else records.readable(ended.app_id, LONGEST_APP_ID)
    connection.execute(
        "UPDATE submissions SET state = ?, outcome = ?, decided_at = ?, app_id = ? WHERE submission_id = ?",
        (ended.state.value, records.dump(to_dict(ended)), now, app_id, ended.submission_id),
    )
    return records.sinks_of(document), app_id


def bind(connection: apsw.Connection, submission_id: str, app_id: str) -> bool:
    """Note the cluster's name for it. False if it was known."""
    state, known = _row(connection, "SELECT state, app_id FROM submissions WHERE submission_id = ?", submission_id)
    if known == app_id:
        return False
    if known is not None and state != TerminalState.UNKNOWN.value:
        raise UsageError(f"submission {submission_id} has ended as {known}: it can't be {app_id} as well.")
    connection.execute("UPDATE submissions SET app_id = ? WHERE submission_id = ?", (app_id, submission_id))
    return True


def _undecided(connection: apsw.Connection, submission_id: str) -> tuple[str | None, str]:
    """The app id and the document of a submission that is undecided."""
    found = _row(connection, "SELECT state, app_id, document FROM submissions WHERE submission_id = ?", submission_id)
    if found[0] != TerminalState.UNKNOWN.value:
        raise already_decided(submission_id, outcome(connection, submission_id))
    return found[1], found[2]


def _row(connection: apsw.Connection, query: str, submission_id: str) -> Any:
    found = connection.execute(query, (submission_id,)).fetchone()
    if found is None:
        raise UsageError(f"there is no submission {submission_id}.")
    return found
