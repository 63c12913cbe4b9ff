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

# A job's place is the number of its first change. Its variables are a blob as they may be no UTF-8, and are gone when
# it has ended. What may follow what stands in raydp_wrap.job.TRANSITIONS; a test compares the two.
_SECOND = """
CREATE TABLE changes (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    place INTEGER NOT NULL,
    kind TEXT NOT NULL,
    phase TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    at REAL NOT NULL,
    detail TEXT NOT NULL CHECK (json_valid(detail))
) STRICT;

CREATE INDEX changes_of_a_job ON changes (place);

CREATE TABLE jobs (
    place INTEGER NOT NULL PRIMARY KEY,
    submission_id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    phase TEXT NOT NULL CHECK (
        phase IN ('PENDING', 'RUNNING', 'RETRYING', 'SUSPENDING', 'SUSPENDED', 'FINISHED', 'FAILED', 'KILLED')
    ),
    seq INTEGER NOT NULL UNIQUE,
    attempt INTEGER NOT NULL DEFAULT 0 CHECK (attempt >= 0),
    active INTEGER NOT NULL DEFAULT 0 CHECK (active IN (0, 1) AND (active = 0 OR attempt >= 1)),
    attempt_at REAL,
    succeeded INTEGER NOT NULL DEFAULT 0 CHECK (succeeded IN (0, 1)),
    failed INTEGER NOT NULL DEFAULT 0 CHECK (failed >= 0),
    ignored INTEGER NOT NULL DEFAULT 0 CHECK (ignored >= 0),
    suspended INTEGER NOT NULL DEFAULT 0 CHECK (suspended >= 0),
    suspend INTEGER NOT NULL DEFAULT 0 CHECK (suspend IN (0, 1)),
    exit_code INTEGER,
    signal INTEGER,
    reason TEXT,
    started_at REAL,
    ended_at REAL,
    deadline_left REAL,
    expires_at REAL,
    saved TEXT CHECK (saved IS NULL OR json_valid(saved)),
    due TEXT CHECK (due IS NULL OR json_valid(due)),
    deadline TEXT CHECK (deadline IS NULL OR json_valid(deadline)),
    stop TEXT CHECK (stop IS NULL OR json_valid(stop)),
    request TEXT NOT NULL CHECK (json_valid(request)),
    umask INTEGER,
    nofile INTEGER,
    environ BLOB,
    CHECK ((phase = 'FINISHED') = (succeeded = 1)),
    CHECK (phase NOT IN ('FINISHED', 'FAILED', 'KILLED') OR (active = 0 AND suspend = 0 AND environ IS NULL)),
    CHECK (phase <> 'SUSPENDED' OR active = 0)
) STRICT;

CREATE INDEX jobs_by_phase ON jobs (phase);

CREATE INDEX jobs_by_name ON jobs (name) WHERE name <> '';

CREATE INDEX jobs_to_expire ON jobs (expires_at) WHERE expires_at IS NOT NULL;

CREATE TRIGGER jobs_begin_waiting BEFORE INSERT ON jobs
WHEN NEW.phase NOT IN ('PENDING', 'SUSPENDED')
BEGIN
    SELECT RAISE(ABORT, 'a job begins by waiting');
END;

CREATE TRIGGER jobs_keep_to_the_transitions BEFORE UPDATE OF phase ON jobs
WHEN NEW.phase <> OLD.phase AND NOT CASE OLD.phase
    WHEN 'PENDING' THEN
        NEW.phase IN ('RUNNING', 'RETRYING', 'SUSPENDING', 'SUSPENDED', 'FINISHED', 'FAILED', 'KILLED')
    WHEN 'RUNNING' THEN
        NEW.phase IN ('RETRYING', 'SUSPENDING', 'FINISHED', 'FAILED', 'KILLED')
    WHEN 'RETRYING' THEN
        NEW.phase IN ('RUNNING', 'SUSPENDING', 'SUSPENDED', 'FINISHED', 'FAILED', 'KILLED')
    WHEN 'SUSPENDING' THEN
        NEW.phase IN ('SUSPENDED', 'PENDING', 'FINISHED', 'FAILED', 'KILLED')
    WHEN 'SUSPENDED' THEN
        NEW.phase IN ('PENDING', 'FAILED', 'KILLED')
    ELSE 0
END
BEGIN
    SELECT RAISE(ABORT, 'no such transition');
END;

CREATE TRIGGER jobs_end_once BEFORE UPDATE ON jobs
WHEN OLD.phase IN ('FINISHED', 'FAILED', 'KILLED') AND (
    NEW.phase IS NOT OLD.phase OR NEW.attempt IS NOT OLD.attempt OR NEW.succeeded IS NOT OLD.succeeded
    OR NEW.failed IS NOT OLD.failed OR NEW.ignored IS NOT OLD.ignored OR NEW.suspended IS NOT OLD.suspended
    OR NEW.exit_code IS NOT OLD.exit_code OR NEW.signal IS NOT OLD.signal OR NEW.reason IS NOT OLD.reason
)
BEGIN
    SELECT RAISE(ABORT, 'ended already');
END;

CREATE TRIGGER submissions_of_jobs_end_with_them BEFORE UPDATE OF state ON submissions
WHEN NEW.state <> OLD.state AND EXISTS (
    SELECT 1 FROM jobs WHERE jobs.submission_id = NEW.submission_id AND jobs.phase <> NEW.state
)
BEGIN
    SELECT RAISE(ABORT, 'its job has not ended so');
END;

CREATE TABLE dependencies (
    submission_id TEXT NOT NULL,
    waiting TEXT NOT NULL,
    PRIMARY KEY (submission_id, waiting)
) STRICT, WITHOUT ROWID;

CREATE TABLE capacity (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    document TEXT NOT NULL CHECK (json_valid(document))
) STRICT;

CREATE TABLE preparations (
    key BLOB NOT NULL PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('PREPARING', 'READY', 'FAILED', 'CLEANING', 'CLEANED')),
    submission_id TEXT NOT NULL,
    digest TEXT NOT NULL,
    error TEXT NOT NULL,
    at REAL NOT NULL
) STRICT, WITHOUT ROWID;
"""

#: ``user_version`` is how many of these a store has been through.
MIGRATIONS: tuple[str, ...] = (_FIRST, _SECOND)
