"""Outcomes and reports to tell sinks of."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from raydp_wrap.model import Evidence, Outcome, Rank, Reason, Report, TerminalState, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["HOSTILE", "a_report", "an_outcome", "hostile_outcome"]

#: What a terminal, a parser, a shell or an encoder could stumble over: ESC, OSC with BEL, NUL, CR, newline, a bidi
#: override, a byte that was no UTF-8, half of a surrogate pair, a shell's bait, and a letter outside ASCII.
HOSTILE: Final = "n\x1b[31m\x1b]0;t\x07\0\r\n\u202e\udcff\ud800 $(exit 9) `id` %s {0} ' \" \\ \u00e4"

_LARGE = 1 << 20


def an_outcome(**changes: Any) -> Outcome:
    """An outcome with something in each of its fields: FAILED with 3, reason AppFailed. CHANGES replace fields."""
    outcome = Outcome(
        submission_id="20250301-120000-0123456789ab",
        name="nightly",
        attempt=2,
        state=TerminalState.FAILED,
        exit_code=3,
        signal=None,
        reason=Reason.APP_FAILED,
        diagnostics="the driver exited with 3",
        evidence=(
            Evidence(
                source="wait status",
                observation="the driver exited with 3",
                rank=Rank.WAIT_STATUS,
                at=1740830591.25,
                state=TerminalState.FAILED,
                exit_code=3,
                reason=Reason.APP_FAILED,
            ),
            Evidence("process tree", "empty, proven"),
        ),
        started_at=1740830400.0,
        ended_at=1740830591.25,
        rusage=Usage(user_seconds=12.5, system_seconds=0.75, max_rss=64 << 20),
        app_id="app-20250301120000-0007",
        tags={"team": "data", "run": "7"},
    )
    return replace(outcome, **changes)


def a_report(key: str | None = None, *, tries: int = 1, sink: str = "test:", **changes: Any) -> Report:
    """A report of :func:`an_outcome` with CHANGES; KEY is as the outbox makes it, if there is none."""
    outcome = an_outcome(**changes)
    return Report(key if key is not None else f"{outcome.submission_id}/1", sink, outcome, tries)


def hostile_outcome(**changes: Any) -> Outcome:
    """An outcome whose every text holds :data:`HOSTILE`, and whose diagnostics have a mebibyte."""
    tags: Mapping[str, str] = {HOSTILE: HOSTILE}
    texts: dict[str, Any] = {
        "name": HOSTILE,
        "diagnostics": HOSTILE + "x" * _LARGE,
        "evidence": (Evidence(HOSTILE, HOSTILE),),
        "app_id": HOSTILE,
        "tags": tags,
    }
    return an_outcome(**{**texts, **changes})
