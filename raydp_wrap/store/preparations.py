"""Runtime environments, each in one state for all jobs that need it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from raydp_wrap.store import records

if TYPE_CHECKING:
    import apsw

    from raydp_wrap.store.database import Database

__all__ = ["Preparations", "Prepared"]

_LONGEST_ERROR = 4000


@dataclass(frozen=True, slots=True)
class Prepared:
    """An environment as it stands: PREPARING, READY, FAILED, CLEANING or CLEANED, since ``at`` (s since the epoch).

    ``submission_id`` is the job in whose context it is set up; ``digest`` tells its definition from another one of the
    same key; ``error`` says why it FAILED.
    """

    key: str
    state: str
    submission_id: str
    digest: str
    error: str
    at: float


class Preparations:
    """The environments in DATABASE. Made by :class:`raydp_wrap.store.Store`, whose promises hold for every method."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, key: str) -> Prepared | None:
        """What is known of it."""
        with self._database.read() as connection:
            return _get(connection, key)

    def put(self, expected: str | None, new: Prepared) -> bool:
        """Keep NEW if the state by now is EXPECTED (None: nothing is known). False: it is another, nothing was kept."""
        with self._database.write() as connection:
            found = _get(connection, new.key)
            if (None if found is None else found.state) != expected:
                return False
            connection.execute(
                "INSERT OR REPLACE INTO preparations (key, state, submission_id, digest, error, at)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (
                    records.pack(new.key),
                    new.state,
                    new.submission_id,
                    new.digest,
                    records.readable(new.error, _LONGEST_ERROR),
                    new.at,
                ),
            )
            return True

    def forget(self, key: str) -> None:
        """Know nothing of it any more."""
        with self._database.write() as connection:
            connection.execute("DELETE FROM preparations WHERE key = ?", (records.pack(key),))


def _get(connection: apsw.Connection, key: str) -> Prepared | None:
    row: Any = connection.execute(
        "SELECT state, submission_id, digest, error, at FROM preparations WHERE key = ?", (records.pack(key),)
    ).fetchone()
    return None if row is None else Prepared(key, *row)
