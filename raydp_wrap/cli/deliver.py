"""``raydp-wrap deliver``: tell the sinks what they have not been told yet."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from raydp_wrap import sinks
from raydp_wrap.cli.messages import say, show
from raydp_wrap.cli.values import Duration
from raydp_wrap.home import home
from raydp_wrap.repair import repair
from raydp_wrap.reporter.reporter import Reporter
from raydp_wrap.reporter.reporting import sentence
from raydp_wrap.store import DeliveryStatus, Store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from raydp_wrap.model import Outcome
    from raydp_wrap.reporter.reporter import Told
    from raydp_wrap.store import Undelivered


@click.command(
    context_settings={"show_default": True},
    epilog="The exit code is 0 when no report waits any more, 1 when one does. What a sink refused is not sent again.",
)
@click.option("--timeout", type=Duration(), default="1m", help="How long to try.")
@click.option("--json", "as_json", is_flag=True, help="Print what was decided and delivered, and what waits, as JSON.")
def deliver(timeout: float, *, as_json: bool) -> int:
    """Send every report that is still waiting, and decide the jobs whose raydp-wrap and guard both died.

    By hand, or every few minutes by cron. It does no harm to run it at any time, beside running jobs or beside
    itself. A report that was put off is sent when its time has come, also within this call.
    """
    place = home()
    with Store(place) as store:
        decided = repair(store, place, say)
        told = Reporter(store, lambda text: sinks.make(text, say)).drain(timeout)
        waiting = [row for row in store.undelivered() if row.status is not DeliveryStatus.REJECTED]
    if as_json:
        show([json.dumps(_as_json(decided, told, waiting))])
    else:
        show(sinks.printable(line) for line in _lines(decided, told, waiting))
    return 1 if waiting else 0


def _lines(decided: list[Outcome], told: list[Told], waiting: list[Undelivered]) -> Iterator[str]:
    for outcome in decided:
        yield f"{outcome.submission_id}: {outcome.state.value}, {outcome.diagnostics.splitlines()[0]}"
    for one in told:
        yield f"{one.submission_id}: {sentence(one) or f'delivered to {sinks.redacted(one.sink)}'}"
    seen = {(one.submission_id, one.sink) for one in told}
    for row in waiting:
        if (row.submission_id, row.sink) not in seen:
            why = "another process is sending it" if row.claimed else row.last_error or "its time has not come"
            yield f"{row.submission_id}: waits for {sinks.redacted(row.sink)}: {why}"


def _as_json(decided: list[Outcome], told: list[Told], waiting: list[Undelivered]) -> dict[str, object]:
    return {
        "decided": [
            {"submission_id": outcome.submission_id, "state": outcome.state.value, "diagnostics": outcome.diagnostics}
            for outcome in decided
        ],
        "reports": [
            {
                "submission_id": one.submission_id,
                "sink": sinks.redacted(one.sink),
                "status": one.status.value,
                "error": one.text or None,
            }
            for one in told
        ],
        "waiting": [
            {
                "submission_id": row.submission_id,
                "sink": sinks.redacted(row.sink),
                "status": row.status.value,
                "tries": row.tries,
                "error": row.last_error or None,
            }
            for row in waiting
        ],
    }
