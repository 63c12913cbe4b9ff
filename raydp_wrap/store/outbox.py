"""The reports that have still to be sent, as statements on a connection that the caller has begun a transaction on."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from raydp_wrap.errors import StoreError
from raydp_wrap.process.identity import ProcessIdentity
from raydp_wrap.store import records
from raydp_wrap.store.delivery import Delivery, DeliveryStatus, Undelivered, delivery_key

if TYPE_CHECKING:
    from collections.abc import Iterable

    import apsw

    from raydp_wrap.model import Outcome
    from raydp_wrap.store.delivery import Settlement

__all__ = ["MAX_LEASE", "check_lease", "claim", "due_now", "next_due", "put", "release", "settle", "undelivered"]

MAX_LEASE = 3600.0
#: A moment further away than any that is ever set: the wall clock was moved back since.
_FARTHEST_TRY = 86400.0
_LONGEST_ERROR = 1000
_NOT_UNDERSTOOD = 60.0  # seconds until somebody looks again


def check_lease(lease: float) -> None:
    """Raises ValueError for one that nobody could be told from a moved clock."""
    if not 0 < lease <= MAX_LEASE:
        raise ValueError(f"a lease is over 0 and up to {MAX_LEASE:g} seconds, not {lease!r}")


def put(
    connection: apsw.Connection,
    sinks: list[str],
    ended: Outcome,
    claimer: ProcessIdentity | None,
    lease: float,
    now: float,
) -> list[Delivery]:
    """A row for each of SINKS, claimed by CLAIMER if there is one; the claims."""
    token, by, until = (None, None, None) if claimer is None else _claim_of(claimer, lease, now)
    tries = 0 if claimer is None else 1
    deliveries = []
    for position, sink in enumerate(sinks, 1):
        connection.execute(
            "INSERT INTO outbox"
            " (submission_id, sink, position, tries, next_try_at, claim, claimer, lease_until, updated_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (ended.submission_id, records.pack(sink), position, tries, now, token, by, until, now),
        )
        if token is not None:
            key = delivery_key(ended.submission_id, position)
            deliveries.append(Delivery(ended.submission_id, sink, key, 0, token, ended))
    return deliveries


def _claim_of(claimer: ProcessIdentity, lease: float, now: float) -> tuple[str, str, float]:
    return os.urandom(16).hex(), records.dump(claimer.to_dict()), now + lease


_DUE = """
SELECT submission_id, sink, position, status, tries FROM outbox
WHERE status <> 'delivered' AND submission_id = ifnull(:submission_id, submission_id) AND (
    status = 'pending' AND CASE
        WHEN claim IS NULL THEN next_try_at <= :now OR next_try_at > :farthest_try
        ELSE lease_until <= :now OR lease_until > :farthest_lease OR claimer IN (SELECT value FROM json_each(:dead))
    END
    OR status = 'failed' AND :retry_failed
)
ORDER BY next_try_at, submission_id, position
LIMIT :limit
"""


def claim(
    connection: apsw.Connection,
    claimer: ProcessIdentity,
    submission_id: str | None,
    lease: float,
    now: float,
    limit: int,
    *,
    retry_failed: bool,
) -> list[Delivery]:
    """What is due, and nobody else's (any more), for CLAIMER."""
    token, by, until = _claim_of(claimer, lease, now)
    values = {
        "submission_id": submission_id,
        "now": now,
        "farthest_try": now + _FARTHEST_TRY,
        "farthest_lease": now + MAX_LEASE,
        # Whoever claims is not; a claim of its own that counted as free would be found again and again.
        "dead": json.dumps([each for each in _dead(connection) if each != by]),
        "retry_failed": retry_failed,
    }
    deliveries: list[Delivery] = []
    while len(deliveries) < limit:
        rows: list[Any] = connection.execute(_DUE, {**values, "limit": limit - len(deliveries)}).fetchall()
        if not rows:
            break
        for submission, sink, position, status, tried in rows:
            try:
                ended = _outcome(connection, submission)
            except StoreError as error:
                _put_off(connection, submission, sink, str(error), now)
                continue
            tries = 0 if status == DeliveryStatus.FAILED.value else tried
            connection.execute(
                "UPDATE outbox SET status = 'pending', tries = ?, claim = ?, claimer = ?, lease_until = ?,"
                " updated_at = ? WHERE submission_id = ? AND sink = ?",
                (tries + 1, token, by, until, now, submission, sink),
            )
            key = delivery_key(submission, position)
            deliveries.append(Delivery(submission, records.unpack(sink), key, tries, token, ended))
    return deliveries


def _outcome(connection: apsw.Connection, submission_id: str) -> Outcome:
    row: Any = connection.execute(
        "SELECT outcome, app_id FROM submissions WHERE submission_id = ?", (submission_id,)
    ).fetchone()
    if row is None:
        raise StoreError("the submission of a report is not in the store any more.")
    return records.outcome_of(*row)


def _put_off(connection: apsw.Connection, submission_id: str, sink: bytes, why: str, now: float) -> None:
    """Leave what a newer version has written to it: one such report must not hold up the others."""
    connection.execute(
        "UPDATE outbox SET status = 'pending', next_try_at = ?, last_error = ?, claim = NULL, claimer = NULL,"
        " lease_until = NULL, updated_at = ? WHERE submission_id = ? AND sink = ?",
        (now + _NOT_UNDERSTOOD, records.readable(why, _LONGEST_ERROR), now, submission_id, sink),
    )


def _dead(connection: apsw.Connection) -> list[str]:
    """The claimers, as they stand in the rows, that have provably ended."""
    rows: Any = connection.execute("SELECT DISTINCT claimer FROM outbox WHERE status = 'pending' AND claim IS NOT NULL")
    return [text for (text,) in rows.fetchall() if ProcessIdentity.from_dict(json.loads(text)).is_dead()]


def settle(connection: apsw.Connection, settled: Settlement, now: float) -> bool:
    """Write down what became of a delivery, and free the claim; False if that is another's by now."""
    delivery = settled.delivery
    again = now
    if settled.status is DeliveryStatus.PENDING and settled.next_try_at is not None:
        again = settled.next_try_at
    connection.execute(
        "UPDATE outbox SET status = ?, next_try_at = ?, last_error = ?, claim = NULL, claimer = NULL,"
        " lease_until = NULL, updated_at = ? WHERE submission_id = ? AND sink = ? AND claim = ?",
        (
            settled.status.value,
            _unless_bound_since(connection, delivery, again, now),
            records.readable(settled.error, _LONGEST_ERROR),
            now,
            delivery.submission_id,
            records.pack(delivery.sink),
            delivery.token,
        ),
    )
    return connection.changes() > 0


def release(connection: apsw.Connection, delivery: Delivery, now: float) -> None:
    """Give a claim back untried."""
    connection.execute(
        "UPDATE outbox SET tries = tries - 1, claim = NULL, claimer = NULL, lease_until = NULL, updated_at = ?"
        " WHERE submission_id = ? AND sink = ? AND claim = ?",
        (now, delivery.submission_id, records.pack(delivery.sink), delivery.token),
    )


def _unless_bound_since(connection: apsw.Connection, delivery: Delivery, again: float, now: float) -> float:
    """A sink that has waited for the app id is due at once if that was learnt while it was claimed."""
    if delivery.outcome.app_id is not None:
        return again
    bound = connection.execute(
        "SELECT 1 FROM submissions WHERE submission_id = ? AND app_id IS NOT NULL", (delivery.submission_id,)
    ).fetchone()
    return min(again, now) if bound else again


def due_now(connection: apsw.Connection, submission_id: str, now: float) -> None:
    """All that waits of a submission, and nobody is sending, is due at once."""
    connection.execute(
        "UPDATE outbox SET next_try_at = min(next_try_at, ?), updated_at = ?"
        " WHERE submission_id = ? AND status = 'pending' AND claim IS NULL",
        (now, now, submission_id),
    )


def next_due(connection: apsw.Connection, now: float) -> float | None:
    """The first moment at which there is something to claim; None: there is nothing."""
    row: Any = connection.execute(
        "SELECT min(CASE WHEN claim IS NOT NULL THEN iif(lease_until > :farthest_lease, :now, lease_until)"
        " ELSE iif(next_try_at > :farthest_try, :now, next_try_at) END)"
        " FROM outbox WHERE status <> 'delivered' AND status = 'pending'",
        {"now": now, "farthest_try": now + _FARTHEST_TRY, "farthest_lease": now + MAX_LEASE},
    ).fetchone()
    due: float | None = row[0]
    return due


def undelivered(connection: apsw.Connection) -> list[Undelivered]:
    """All that was not accepted, oldest first."""
    rows: Iterable[Any] = connection.execute(
        "SELECT submission_id, sink, status, tries, next_try_at, claim IS NOT NULL, last_error, updated_at FROM outbox"
        " WHERE status <> 'delivered' ORDER BY updated_at, submission_id, position"
    )
    return [
        Undelivered(row[0], records.unpack(row[1]), DeliveryStatus(row[2]), row[3], row[4], bool(row[5]), *row[6:])
        for row in rows
    ]
