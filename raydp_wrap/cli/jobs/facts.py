"""All that is shown of one job, as labelled lines: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raydp_wrap.cli.jobs import cells
from raydp_wrap.diagnostics.text import escape
from raydp_wrap.request import Condition

if TYPE_CHECKING:
    from collections.abc import Iterator

    from raydp_wrap.cli.jobs.tree import Use
    from raydp_wrap.job import Job
    from raydp_wrap.model import Outcome

__all__ = ["Fact", "counters", "facts", "used"]

Fact = tuple[str, str]  # label, text


def facts(
    status: Job,
    outcome: Outcome | None,
    now: float,
    *,
    waits: str = "",
    use: str = "",
    deadline_in: float | None = None,
) -> list[Fact]:
    """STATUS by NOW (seconds since the epoch), with its OUTCOME if it is terminal.

    WAITS is what it waits for, USE what its tree uses. DEADLINE_IN is in how many seconds its deadline comes. What says
    nothing is left out; only the diagnostics have more than one line.
    """
    return [
        (label, text) for label, text in _all(status, outcome, now, waits, use, deadline_in) if text and text != "-"
    ]


def _all(
    status: Job, outcome: Outcome | None, now: float, waits: str, use: str, deadline_in: float | None
) -> Iterator[Fact]:
    request = status.request
    yield "id", status.submission_id
    yield "name", cells.shown(status.submission.name)
    yield "phase", status.phase.value
    yield "waits", cells.shown(waits)
    yield "attempts", f"{cells.attempts(status).replace('/', ' of ')}{counters(status)}"
    yield "exit", _end(status)
    yield "reason", status.reason if status.phase.terminal and status.reason else ""
    yield "submitted", f"{cells.clock(status.submission.created_at)} ({cells.age(status, now)} ago)"
    yield "started", cells.clock(status.attempt_at if status.active else status.started_at)
    yield "ended", "" if status.active else cells.clock(status.ended_at)
    yield "elapsed", cells.elapsed(status, now)
    yield "uses", use
    yield "deadline", "" if deadline_in is None else f"in {cells.length(deadline_in)}"
    yield "stop", _stop(status)
    yield "command", cells.command(request)
    yield "directory", cells.shown(request.cwd or "")
    yield "variables", cells.shown(", ".join(sorted(request.env)))
    yield "backend", "" if request.backend == "local" else cells.shown(request.backend)
    yield "priority", str(request.priority) if request.priority else ""
    yield "needs", cells.shown(", ".join(_need(name, amount) for name, amount in request.needs.items()))
    yield "after", cells.shown(", ".join(_dependency(one.submission_id, one.condition) for one in request.after))
    yield "tags", cells.labels(status.submission.tags)
    yield "application", cells.shown((outcome.app_id if outcome else status.submission.app_id) or "")
    yield "diagnostics", escape(outcome.diagnostics) if outcome is not None else ""


def counters(status: Job) -> str:
    """How its attempts that ended were counted, in brackets; "" where none was."""
    counted = {
        "succeeded": status.succeeded,
        "failed": status.failed,
        "ignored": status.ignored,
        "suspended": status.suspended,
    }
    text = ", ".join(f"{number} {name}" for name, number in counted.items() if number)
    return f" ({text})" if text else ""


def used(use: Use | None, before: tuple[float, Use] | None, at: float) -> str:
    """USE in words, seen AT; with what was seen BEFORE (when, and what), the share of the CPU meanwhile."""
    if use is None:
        return ""
    processes = "1 process" if use.processes == 1 else f"{use.processes} processes"
    cpu = f"cpu {use.cpu_seconds:.1f}s"
    if before is not None and at > before[0]:
        share = max(0.0, use.cpu_seconds - before[1].cpu_seconds) / (at - before[0])
        cpu = f"{cpu} ({share:.0%})"
    return f"{processes}, {cpu}, memory {cells.room(use.memory)}"


def _end(status: Job) -> str:
    end = cells.ending(status)
    if end == "-" or status.phase.terminal:
        return end
    return f"{end} (attempt {status.attempt})"


def _stop(status: Job) -> str:
    wish = status.stop
    if wish is None:
        return ""
    return cells.shown(f"asked for by {wish.label or f'pid {wish.pid}, uid {wish.uid}'} at {cells.clock(wish.at)}")


def _need(name: str, amount: float) -> str:
    return f"memory {cells.room(amount)}" if name == "memory" else f"{name} {amount:g}"


def _dependency(submission_id: str, condition: Condition) -> str:
    return submission_id if condition is Condition.FINISHED else f"{submission_id} (any end)"
