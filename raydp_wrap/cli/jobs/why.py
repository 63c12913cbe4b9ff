"""``raydp-wrap jobs why``: what it waits for, and what became of its attempts."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import click

from raydp_wrap.cli.jobs import cells
from raydp_wrap.cli.jobs.meaning import end_of, meaning
from raydp_wrap.cli.jobs.words import client, job_argument
from raydp_wrap.cli.messages import show
from raydp_wrap.errors import RaydpWrapError
from raydp_wrap.job import ChangeKind, Tally
from raydp_wrap.model import TerminalState
from raydp_wrap.moment import Moment
from raydp_wrap.retry import decide

if TYPE_CHECKING:
    from collections.abc import Iterator

    from raydp_wrap.client.job import Job
    from raydp_wrap.job import Change
    from raydp_wrap.job import Job as Status
    from raydp_wrap.model import Attempt, Outcome

_TELLING = ("stop", "signal", "guard", "cgroup memory", "supervisor")  # evidence that says who did what
_WISHES = (ChangeKind.STOP_ASKED, ChangeKind.SUSPEND_ASKED, ChangeKind.RESUMED)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@job_argument
def why(word: str, *, as_json: bool) -> int:
    """Say why JOB is as it is.

    What it waits for; how each attempt ended, what its exit code or signal means, who sent that, and what was decided
    then; who asked it to stop.
    """
    with client() as one:
        found = _explained(one.job(word))
    lines = [json.dumps(found)] if as_json else list(_lines(found))
    return 0 if show(lines) else RaydpWrapError.exit_code


def _explained(job: Job) -> dict[str, Any]:
    status, changes = job.status(), job.changes()
    decided = {
        change.attempt: str(change.detail["why"]) for change in changes if "why" in change.detail and change.attempt
    }
    history = job.history()
    last = _last_decision(status, changes, job.outcome if status.phase.terminal else None)
    if last and history:
        decided[history[-1][0].number] = last
    outcome = job.outcome if status.phase.terminal else None
    return {
        "submission_id": status.submission_id,
        "name": status.submission.name,
        "phase": status.phase.value,
        "reason": status.reason if status.phase.terminal else None,
        "verdict": None if outcome is None else outcome.diagnostics.partition("\n")[0],
        "waits": job.why_waiting() or None,
        "waited": round(history[0][0].created_at - status.submission.created_at, 3) if history else None,
        "attempts": [_attempt(attempt, end, decided.get(attempt.number, "")) for attempt, end in history],
        "wishes": [_wish(change) for change in changes if _is_wish(change)],
        "deadline_in": None if status.deadline is None else round(Moment.now().until(status.deadline), 3),
    }


def _attempt(attempt: Attempt, end: Outcome | None, decided: str) -> dict[str, Any]:
    found: dict[str, Any] = {"attempt": attempt.number, "begun_at": cells.clock(attempt.created_at)}
    if end is None:
        return {**found, "end": None, "meaning": None, "evidence": [], "decision": None, "took": None}
    ran = end.started_at is not None and end.ended_at is not None
    return {
        **found,
        "end": end_of(end),
        "meaning": meaning(end) or None,
        "evidence": [one.observation for one in end.evidence if one.source in _TELLING],
        "decision": decided or None,
        "took": round((end.ended_at or 0.0) - (end.started_at or 0.0), 3) if ran else None,
    }


def _last_decision(status: Status, changes: list[Change], outcome: Outcome | None) -> str:
    """Why there was no other attempt after the last one, by the rule that decided it."""
    ended = [change for change in changes if change.kind is ChangeKind.ENDED]
    if outcome is None or outcome.state is TerminalState.FINISHED or not ended or "tally" not in ended[-1].detail:
        return ""
    failed = status.failed - (ended[-1].detail["tally"] == Tally.FAILED.value)
    return decide(
        status.request.retry,
        outcome,
        failed=failed,
        ignored=status.ignored,
        chance=random.Random(0),  # noqa: S311 - for a pause that nobody sees
    ).why


def _is_wish(change: Change) -> bool:
    return (
        change.kind in _WISHES
        or "pid" in change.detail
        or (change.kind is ChangeKind.SUSPENDED and "label" in change.detail)
    )


def _wish(change: Change) -> dict[str, Any]:
    by = change.detail.get("label") or f"pid {change.detail.get('pid')}, uid {change.detail.get('uid')}"
    kind = "stop asked" if "pid" in change.detail else change.kind.value
    return {"what": kind, "by": by, "at": cells.clock(change.at), "grace": change.detail.get("grace")}


def _lines(found: dict[str, Any]) -> Iterator[str]:
    name = f" ({cells.shown(found['name'])})" if found["name"] else ""
    reason = f", {found['reason']}" if found["reason"] else ""
    yield f"{found['submission_id']}{name} is {found['phase']}{reason}"
    if found["verdict"]:
        yield f"  {cells.shown(found['verdict'])}"
    if found["waits"]:
        yield f"  {cells.shown(found['waits'])}"
    if found["deadline_in"] is not None:
        yield f"  its deadline is in {cells.length(found['deadline_in'])}"
    if found["waited"] is not None:
        yield f"  it waited {cells.length(found['waited'])} for its first attempt"
    for attempt in found["attempts"]:
        yield _attempt_line(attempt)
        for evidence in attempt["evidence"]:
            yield f"    {cells.shown(evidence)}"
    for wish in found["wishes"]:
        grace = "" if wish["grace"] is None else f", with a grace of {cells.length(wish['grace'])}"
        yield f"{wish['at']}: {wish['what']} by {cells.shown(wish['by'])}{grace}"
    if not found["attempts"]:
        yield "it has not been started" + ("" if found["phase"] not in _ENDED else ", and never will be")


_ENDED = tuple(state.value for state in TerminalState if state is not TerminalState.UNKNOWN)


def _attempt_line(attempt: dict[str, Any]) -> str:
    line = f"attempt {attempt['attempt']}, {attempt['begun_at']}"
    if attempt["end"] is None:
        return f"{line}: has not ended"
    if attempt["took"] is not None:
        line += f", {cells.length(attempt['took'])}"
    line += f": {attempt['end']}"
    if attempt["meaning"]:
        line += f" ({attempt['meaning']})"
    return f"{line}; {cells.shown(attempt['decision'])}" if attempt["decision"] else line
