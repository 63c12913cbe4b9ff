"""The outcome as JSON values: everywhere the same keys."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from raydp_wrap.model import Evidence, Outcome, Rank, Reason, TerminalState, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA = 1
# The years 1 to 9999: what a datetime can hold, and RFC 3339.
_EARLIEST, _AFTER_LATEST = -62_135_596_800, 253_402_300_800


def showable(at: float) -> bool:
    """Whether AT, in seconds since the epoch, is a point in time that can be written; NaN is none."""
    return _EARLIEST <= at < _AFTER_LATEST


def _rfc3339(at: float | None) -> str | None:
    if at is None or not showable(at):
        return None
    return datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")


def to_dict(outcome: Outcome) -> Mapping[str, Any]:
    """The outcome as JSON-able values, with the keys it has everywhere; times RFC 3339 in UTC."""
    usage = outcome.rusage
    return {
        "schema": SCHEMA,
        "submission_id": outcome.submission_id,
        "name": outcome.name,
        "app_id": outcome.app_id,
        "attempt": outcome.attempt,
        "state": outcome.state.value,
        "exit_code": outcome.exit_code,
        "signal": outcome.signal,
        "reason": outcome.reason.value if outcome.reason else None,
        "diagnostics": outcome.diagnostics,
        "evidence": [_evidence_dict(evidence) for evidence in outcome.evidence],
        "started_at": _rfc3339(outcome.started_at),
        "ended_at": _rfc3339(outcome.ended_at),
        "rusage": {field: getattr(usage, field) for field in usage.__dataclass_fields__},
        "tags": dict(outcome.tags),
    }


def _evidence_dict(evidence: Evidence) -> dict[str, Any]:
    return {
        "source": evidence.source,
        "observation": evidence.observation,
        "rank": evidence.rank.name,
        "at": _rfc3339(evidence.at),
        "state": evidence.state.value,
        "exit_code": evidence.exit_code,
        "signal": evidence.signal,
        "reason": evidence.reason.value if evidence.reason else None,
    }


def _seconds(text: str | None) -> float | None:
    # 3.10 knows no "Z".
    return None if text is None else datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def _known(kind: type[Any], raw: Mapping[str, Any]) -> dict[str, Any]:
    return {name: raw[name] for name in kind.__dataclass_fields__ if name in raw}


def _evidence_from(raw: Mapping[str, Any]) -> Evidence:
    return Evidence(
        **{
            **_known(Evidence, raw),
            "rank": Rank[raw.get("rank", "CONTEXT")],
            "at": _seconds(raw.get("at")),
            "state": TerminalState(raw.get("state", "UNKNOWN")),
            "reason": Reason(raw["reason"]) if raw.get("reason") else None,
        }
    )


def from_dict(raw: Mapping[str, Any]) -> Outcome:
    """The outcome that :func:`to_dict` made RAW of, to the microsecond; what a newer version added is left out.

    Raises:
        KeyError, TypeError, ValueError: RAW is no outcome.

    """
    return Outcome(
        **{
            **_known(Outcome, raw),
            "state": TerminalState(raw["state"]),
            "reason": Reason(raw["reason"]) if raw["reason"] else None,
            "evidence": tuple(_evidence_from(evidence) for evidence in raw["evidence"]),
            "started_at": _seconds(raw["started_at"]),
            "ended_at": _seconds(raw["ended_at"]),
            "rusage": Usage(**_known(Usage, raw["rusage"])),
            "tags": dict(raw.get("tags") or {}),
        }
    )
