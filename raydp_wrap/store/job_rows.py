"""A job and what belongs to it, as columns of their rows."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Final

from raydp_wrap.errors import StoreError
from raydp_wrap.job import Capacity, Change, ChangeKind, Job, StopWish
from raydp_wrap.moment import Moment
from raydp_wrap.request import Context, Phase, Request
from raydp_wrap.store import records

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from raydp_wrap.model import Outcome

__all__ = [
    "SELECT",
    "capacity_of",
    "change_of",
    "columns_of",
    "context_of",
    "dump_capacity",
    "end_of",
    "environ_of",
    "job_of",
]

_PLAIN = (
    "seq",
    "place",
    "attempt",
    "attempt_at",
    "succeeded",
    "failed",
    "ignored",
    "suspended",
    "deadline_left",
    "exit_code",
    "signal",
    "reason",
    "started_at",
    "ended_at",
)

#: Whatever follows it is on ``jobs`` and ``submissions``.
SELECT: Final = (
    "SELECT submission_id, submissions.name, created_at, app_id, document, phase, active, suspend, "  # noqa: S608
    f"request, saved, due, deadline, stop, {', '.join(f'jobs.{name}' for name in _PLAIN)} "
    "FROM jobs CROSS JOIN submissions USING (submission_id) "
)


def job_of(row: Sequence[Any]) -> Job:
    """From :data:`SELECT`.

    Raises:
        StoreError: it is not what this version understands.

    """
    phase, active, suspend, request, saved, due, deadline, stop = row[5:13]
    try:
        return Job(
            submission=records.submission_of(row[:5]),
            request=Request.from_dict(json.loads(request)),
            phase=Phase(phase),
            active=bool(active),
            suspend=bool(suspend),
            saved=None if saved is None else json.loads(saved),
            due=_moment_of(due),
            deadline=_moment_of(deadline),
            stop=None if stop is None else _wish_of(json.loads(stop)),
            **dict(zip(_PLAIN, row[13:], strict=True)),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise StoreError(
            f"the job {row[0]} in the store can't be understood ({error!r}): a newer raydp-wrap has written it, "
            "use that one."
        ) from error


def _moment_of(text: str | None) -> Moment | None:
    return None if text is None else Moment.from_dict(json.loads(text))


def _wish_of(raw: Mapping[str, Any]) -> StopWish:
    return StopWish(**{name: raw[name] for name in StopWish.__dataclass_fields__ if name in raw})


def _dump_moment(moment: Moment | None) -> str | None:
    return None if moment is None else records.dump(moment.to_dict())


def _dump_wish(wish: StopWish) -> str:
    return records.dump({name: getattr(wish, name) for name in StopWish.__dataclass_fields__})


_DUMP: Final[Mapping[str, Callable[[Any], Any]]] = {
    "phase": lambda phase: phase.value,
    "active": int,
    "suspend": int,
    "saved": lambda saved: None if saved is None else records.dump(saved),
    "due": _dump_moment,
    "deadline": _dump_moment,
    "stop": _dump_wish,
}


def columns_of(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a job as they go into its row."""
    return {name: _DUMP[name](value) if name in _DUMP else value for name, value in changes.items()}


def environ_of(context: Context) -> bytes:
    """The variables, byte for byte, as a process has them."""
    return b"\0".join(os.fsencode(f"{name}={value}") for name, value in context.environ.items())


def context_of(umask: int | None, nofile: int | None, environ: bytes | None) -> Context:
    """From the columns of that name."""
    pairs = (os.fsdecode(one).partition("=") for one in environ.split(b"\0")) if environ else ()
    return Context({name: value for name, _, value in pairs}, umask, nofile)


def change_of(row: Sequence[Any]) -> Change:
    """From seq, submission_id, kind, phase, attempt, at, detail."""
    seq, submission_id, kind, phase, attempt, at, detail = row
    try:
        return Change(seq, submission_id, ChangeKind(kind), Phase(phase), attempt, at, json.loads(detail))
    except ValueError as error:
        raise StoreError(
            f"change {seq} in the store can't be understood ({error}): a newer raydp-wrap has written it, use that one."
        ) from error


def dump_capacity(capacity: Capacity) -> str:
    """The document."""
    return records.dump({"max_running": capacity.max_running, "slots": dict(capacity.slots)})


def capacity_of(text: str) -> Capacity:
    """From :func:`dump_capacity`."""
    raw = json.loads(text)
    return Capacity(raw.get("max_running"), raw.get("slots", {}))


def end_of(document: str, decided: str | None, app_id: str | None) -> Outcome | None:
    """How an attempt ended, by its row's DOCUMENT; DECIDED is the submission's outcome."""
    raw = json.loads(document)
    if "end" in raw:
        end = raw["end"]
        return records.outcome_of(records.dump(end), end.get("app_id"))
    return records.outcome_of(decided, app_id) if "tally" in raw and decided is not None else None
