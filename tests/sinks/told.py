"""Reports to tell sinks of, among them one with everything a terminal, a parser or a shell could stumble over."""

from __future__ import annotations

from raydp_wrap.model import Evidence, Outcome, Reason, Report, TerminalState, Usage

# ESC, OSC with BEL, NUL, CR, a bidi override, a byte that was no UTF-8, half of a pair, and a shell's bait.
HOSTILE = "n\x1b[31m\x1b]0;t\x07\0\r\u202e\udcff\ud800 $(touch /tmp/x) `id` \n\u00e4"


def outcome(submission_id: str = "s-1", name: str = "nightly", **changes: object) -> Outcome:
    facts: dict[str, object] = {
        "attempt": 2,
        "state": TerminalState.FAILED,
        "exit_code": 3,
        "signal": None,
        "reason": Reason.APP_FAILED,
        "diagnostics": "the driver exited with 3",
        "evidence": (Evidence("wait status", "the driver exited with 3"),),
        "started_at": 1.0,
        "ended_at": 2.0,
        "rusage": Usage(),
        "app_id": "app-7",
    }
    return Outcome(submission_id, name, **{**facts, **changes})  # type: ignore[arg-type]


def report(tries: int = 1, key: str = "s-1/0", **changes: object) -> Report:
    return Report(key, "shown", outcome(**changes), tries)  # type: ignore[arg-type]
