"""The schema, step by step. Append only: a step that was released is never changed."""

from __future__ import annotations

__all__ = ["MIGRATIONS"]

# Sinks are blobs: a path in them may be no UTF-8, which must come back byte for byte.
_FIRST = """
CREATE TABLE submissions (
    submission_id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    created_at REAL NOT NULL,
    state TEXT NOT NULL DEFAULT 'UNKNOWN' CHECK (state IN ('UNKNOWN', 'FINISHED', 'FAILED', 'KILLED')),
    app_id TEXT,
    document TEXT NOT NULL CHECK (json_valid(document)),
    outcome TEXT CHECK (outcome IS NULL OR json_valid(outcome)),
    decided_at REAL,
    CHECK ((state = 'UNKNOWN') = (outcome IS NULL)),
    CHECK ((state = 'UNKNOWN') = (decided_at IS NULL))
) STRICT;

CREATE INDEX submissions_undecided ON submissions (created_at) WHERE state = 'UNKNOWN';

CREATE TRIGGER submissions_are_decided_once BEFORE UPDATE ON submissions
WHEN OLD.state <> 'UNKNOWN' AND (
    NEW.state IS NOT OLD.state OR NEW.outcome IS NOT OLD.outcome OR NEW.decided_at IS NOT OLD.decided_at
    OR NEW.submission_id IS NOT OLD.submission_id
)
BEGIN
    SELECT RAISE(ABORT, 'decided already');
END;

CREATE TABLE attempts (
    submission_id TEXT NOT NULL,
    number INTEGER NOT NULL CHECK (number >= 1),
    created_at REAL NOT NULL,
    document TEXT NOT NULL CHECK (json_valid(document)),
    PRIMARY KEY (submission_id, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE outbox (
    submission_id TEXT NOT NULL,
    sink BLOB NOT NULL,
    position INTEGER NOT NULL CHECK (position >= 1),
    status TEXT NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'delivered', 'rejected', 'failed')),
    tries INTEGER NOT NULL DEFAULT 0 CHECK (tries >= 0),
    next_try_at REAL NOT NULL,
    claim TEXT,
    claimer TEXT,
    lease_until REAL,
    last_error TEXT NOT NULL DEFAULT '',
    updated_at REAL NOT NULL,
    PRIMARY KEY (submission_id, sink),
    CHECK (claim IS NULL OR status = 'pending'),
    CHECK ((claim IS NULL) = (claimer IS NULL) AND (claim IS NULL) = (lease_until IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX outbox_undelivered ON outbox (status, next_try_at) WHERE status <> 'delivered';

CREATE TRIGGER outbox_settles_once BEFORE UPDATE ON outbox
WHEN OLD.status IN ('delivered', 'rejected') AND NEW.status IS NOT OLD.status
BEGIN
    SELECT RAISE(ABORT, 'settled already');
END;
"""

#: ``user_version`` is how many of these a store has been through.
MIGRATIONS: tuple[str, ...] = (_FIRST,)
