"""Jobs and what goes with them, written by statements on a connection that the caller has begun a transaction on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from raydp_wrap.job import LEAST_KEPT, ChangeKind
from raydp_wrap.model import Attempt
from raydp_wrap.request import Phase
from raydp_wrap.store import job_rows, outbox, records, submissions
from raydp_wrap.store.job_reads import last_seq, place_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import apsw

    from raydp_wrap.job import Job
    from raydp_wrap.model import Submission
    from raydp_wrap.moment import Moment
    from raydp_wrap.request import Context, Request
    from raydp_wrap.store.steps import End, Step

__all__ = ["forget", "put", "write"]

_LONGEST_NAME = 1000


def put(connection: apsw.Connection, new: Submission, request: Request, context: Context, now: Moment) -> None:
    """All rows of a new job."""
    submissions.put(connection, new)
    place = last_seq(connection) + 1
    phase = Phase.SUSPENDED if request.suspend else Phase.PENDING
    _change(connection, place, ChangeKind.SUBMITTED, phase, 0, now, {})
    row = {
        "place": place,
        "submission_id": new.submission_id,
        "name": records.readable(new.name, _LONGEST_NAME),
        "phase": phase.value,
        "seq": place,
        "suspend": int(request.suspend),
        "request": records.dump(request.to_dict()),
        "umask": context.umask,
        "nofile": context.nofile,
        "environ": job_rows.environ_of(context),
    }
    connection.execute(
        f"INSERT INTO jobs ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})",  # noqa: S608 - our own words
        tuple(row.values()),
    )
    connection.executemany(
        "INSERT OR IGNORE INTO dependencies (submission_id, waiting) VALUES (?, ?)",
        [(one.submission_id, new.submission_id) for one in request.after],
    )


def write(connection: apsw.Connection, job: Job, step: Step, now: Moment) -> None:
    """What STEP makes of JOB."""
    columns = job_rows.columns_of(step.changes)
    attempt = step.changes.get("attempt", job.attempt)
    if step.kind is not None:
        phase = step.changes.get("phase", job.phase)
        columns["seq"] = _change(connection, job.place, step.kind, phase, attempt, now, step.detail)
    if attempt != job.attempt:
        submissions.put_attempt(connection, Attempt(job.submission_id, attempt, now.wall))
    if step.end is not None:
        _end(connection, job, step.end, last=step.decided is not None)
    if step.decided is not None:
        ttl = job.request.ttl_after_finished
        columns |= {"environ": None, "umask": None, "nofile": None}
        columns["expires_at"] = None if ttl is None else now.wall + max(ttl, LEAST_KEPT)
    if columns:
        _update(connection, job.place, columns)
    if step.decided is not None:
        sinks, app_id = submissions.decide(connection, step.decided, now.wall)
        outbox.put(connection, sinks, replace(step.decided, app_id=app_id), None, outbox.MAX_LEASE, now.wall)
        connection.executemany(
            "DELETE FROM dependencies WHERE submission_id = ? AND waiting = ?",
            [(one.submission_id, job.submission_id) for one in job.request.after],
        )


def _update(connection: apsw.Connection, place: int, columns: Mapping[str, Any]) -> None:
    # What a newer version has put into a wish stays there.
    words = ", ".join(
        "stop = json_patch(ifnull(stop, '{}'), ?)" if name == "stop" else f"{name} = ?" for name in columns
    )
    connection.execute(f"UPDATE jobs SET {words} WHERE place = ?", (*columns.values(), place))  # noqa: S608 - our own words


def _change(
    connection: apsw.Connection,
    place: int,
    kind: ChangeKind,
    phase: Phase,
    attempt: int,
    now: Moment,
    detail: Mapping[str, Any],
) -> int:
    connection.execute(
        "INSERT INTO changes (place, kind, phase, attempt, at, detail) VALUES (?, ?, ?, ?, ?, ?)",
        (place, kind.value, phase.value, attempt, now.wall, records.dump(detail)),
    )
    return connection.last_insert_rowid()


def _end(connection: apsw.Connection, job: Job, end: End, *, last: bool) -> None:
    """Keep how an attempt ended; the last one's end is the submission's, and is not kept twice."""
    which = (job.submission_id, end.number)
    connection.execute(
        "UPDATE attempts SET document = json_set(document, '$.tally', ?) WHERE submission_id = ? AND number = ?",
        (end.tally.value, *which),
    )
    if last:
        return
    from raydp_wrap.outcome import to_dict  # noqa: PLC0415 - most jobs have but one attempt

    connection.execute(
        "UPDATE attempts SET document = json_set(document, '$.end', json(?), '$.saved', json(?))"
        " WHERE submission_id = ? AND number = ?",
        (records.dump(to_dict(end.outcome)), records.dump(job.saved or {}), *which),
    )
    connection.execute("UPDATE submissions SET app_id = NULL WHERE submission_id = ?", (job.submission_id,))


def forget(connection: apsw.Connection, submission_id: str) -> None:
    """Remove every row of a job."""
    place = place_of(connection, submission_id)
    connection.execute("DELETE FROM changes WHERE place = ?", (place,))
    for table in ("jobs", "attempts", "outbox", "submissions"):
        connection.execute(f"DELETE FROM {table} WHERE submission_id = ?", (submission_id,))  # noqa: S608 - our own words
