"""A job as JSON values: everywhere the same keys."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from raydp_wrap.cli.jobs.cells import command_line
from raydp_wrap.diagnostics import redact
from raydp_wrap.outcome import to_dict
from raydp_wrap.outcome.document import showable
from raydp_wrap.request import Phase

if TYPE_CHECKING:
    from collections.abc import Mapping

    from raydp_wrap.job import Change, Job
    from raydp_wrap.model import Outcome, Submission, TerminalState

__all__ = ["change_document", "document", "foreground_document"]

_SCHEMA = 1


def document(status: Job, outcome: Outcome | None = None) -> dict[str, Any]:
    """A job; once it is terminal, given its OUTCOME, with all the keys of that.

    Variables are named and their values left out; the command is without its secrets.
    """
    request, submission = status.request, status.submission
    found = {
        "schema": _SCHEMA,
        "submission_id": status.submission_id,
        "name": submission.name,
        "phase": status.phase.value,
        "state": status.phase.value if status.phase.terminal else "UNKNOWN",
        "attempt": status.attempt,
        "attempts": {
            "limit": request.retry.limit + 1,
            "active": status.active,
            "succeeded": status.succeeded,
            "failed": status.failed,
            "ignored": status.ignored,
            "suspended": status.suspended,
        },
        "exit_code": status.exit_code,
        "signal": status.signal,
        "reason": status.reason,
        "submitted_at": _at(submission.created_at),
        "attempt_started_at": _at(status.attempt_at),
        "started_at": _at(status.started_at),
        "ended_at": _at(status.ended_at),
        "next_attempt_at": None if status.due is None else _at(status.due.wall),
        "deadline_at": None if status.deadline is None else _at(status.deadline.wall),
        "stop": _stop(status),
        "suspend": status.suspend,
        "command": command_line(request),
        "shell": request.shell,
        "cwd": request.cwd,
        "env": sorted(request.env),
        "backend": request.backend,
        "priority": request.priority,
        "needs": request.needs,
        "after": [f"{one.submission_id}:{one.condition.value}" for one in request.after],
        "tags": dict(submission.tags),
        "metadata": {name: _without_secret(name, value) for name, value in request.metadata.items()},
    }
    return found if outcome is None else {**found, **to_dict(outcome)}


def _at(at: float | None) -> str | None:
    if at is None or not showable(at):
        return None
    return datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _stop(status: Job) -> Mapping[str, Any] | None:
    wish = status.stop
    if wish is None:
        return None
    return {"by": wish.label, "pid": wish.pid, "uid": wish.uid, "at": _at(wish.at), "grace": wish.grace}


def _without_secret(name: str, value: str) -> str:
    return redact(f"{name}={value}").partition("=")[2]


def foreground_document(submission: Submission, state: TerminalState) -> dict[str, Any]:
    """A run that its own process looks after."""
    decided = state.value in Phase.__members__
    return {
        "schema": _SCHEMA,
        "submission_id": submission.submission_id,
        "name": submission.name,
        "phase": state.value if decided else Phase.RUNNING.value,
        "state": state.value,
        "foreground": True,
        "submitted_at": _at(submission.created_at),
        "tags": dict(submission.tags),
    }


def change_document(change: Change) -> dict[str, Any]:
    """One change of a job."""
    return {
        "seq": change.seq,
        "at": _at(change.at),
        "submission_id": change.submission_id,
        "kind": change.kind.value,
        "phase": change.phase.value,
        "attempt": change.attempt,
        "detail": dict(change.detail),
    }
