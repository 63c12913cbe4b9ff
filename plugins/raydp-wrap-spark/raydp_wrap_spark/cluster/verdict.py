"""From what a cluster says of an application to evidence: pure, one table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raydp_wrap.model import Evidence, Rank, Reason, TerminalState

if TYPE_CHECKING:
    from raydp_wrap.model import ExitRecord

    from raydp_wrap_spark.cluster.truth import Told

__all__ = ["verdict"]

_DETAIL = 2000


def verdict(told: Told, mode: str, record: ExitRecord, at: float) -> Evidence:
    """What TOLD means for an attempt whose local end RECORD tells; MODE is Spark's deploy mode.

    In cluster mode the application ran where the cluster saw it: what it says goes before the submitter's exit. In
    client mode the driver ran here. Then a cluster that says FINISHED has only seen it leave (Spark tells YARN
    SUCCEEDED whatever main returned with), so it can't make a success of a driver that failed; that a driver which
    ended with 0 was FAILED or KILLED there counts.
    """
    text = f"{told.word or 'of no known state'} on the cluster"
    if detail := " ".join(told.detail.split())[:_DETAIL]:
        text = f"{text}: {detail}"
    if told.state is TerminalState.FINISHED and mode == "client" and not _ended_well(record):
        return Evidence(told.by, f"{text}; the driver, which ran here, did not end well", at=at)
    if not told.ended:
        return Evidence(told.by, text, at=at)
    code = 0 if told.state is TerminalState.FINISHED else None
    reason = Reason.APP_FAILED if told.state is TerminalState.FAILED else None
    return Evidence(told.by, text, Rank.CLUSTER, at, told.state, exit_code=code, reason=reason)


def _ended_well(record: ExitRecord) -> bool:
    return record.driver is not None and record.driver.code == 0
