"""``raydp-wrap jobs limits``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from raydp_wrap.cli.jobs import cells
from raydp_wrap.cli.jobs.table import plain
from raydp_wrap.cli.jobs.words import client
from raydp_wrap.cli.messages import show
from raydp_wrap.cli.values import Amount, Size
from raydp_wrap.errors import RaydpWrapError
from raydp_wrap.job import Capacity
from raydp_wrap.request import Phase

if TYPE_CHECKING:
    from raydp_wrap.client.client import Client

_UNDECIDED = tuple(phase for phase in Phase if not phase.terminal)


@click.command()
@click.option("--max-running", type=click.IntRange(0), help="How many attempts may run at once; 0: start nothing.")
@click.option("--cpus", type=float, help="How many CPUs there are for jobs.")
@click.option("--memory", type=Size(), help="How much memory there is for jobs.")
@click.option("--slot", "slots", multiple=True, type=Amount(), help="How much of a resource there is. May be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def limits(
    max_running: int | None,
    cpus: float | None,
    memory: int | None,
    slots: tuple[tuple[str, float], ...],
    *,
    as_json: bool,
) -> int:
    """Show how much may run at once, or set it. What runs goes on."""
    given = {"cpus": cpus, "memory": None if memory is None else float(memory), **dict(slots)}
    named = {name: amount for name, amount in given.items() if amount is not None}
    with client() as one:
        if named or max_running is not None:
            was = one.limits()
            most = was.max_running if max_running is None else max_running
            one.set_limits(Capacity(most, {**was.slots, **named}))
            if not as_json:
                return 0
        return _show(one, as_json=as_json)


def _show(one: Client, *, as_json: bool) -> int:
    from raydp_wrap.supervisor.queueing import effective  # noqa: PLC0415 - only here

    capacity = effective(one.limits())
    running = [status for status in one.statuses(phases=_UNDECIDED) if status.active]
    used: dict[str, float] = dict.fromkeys(capacity.slots, 0.0)
    for status in running:
        for name, amount in status.request.needs.items():
            used[name] = used.get(name, 0.0) + amount
    if as_json:
        found = {
            "max_running": capacity.max_running,
            "running": len(running),
            "slots": {
                name: {"limit": amount, "used": used.get(name, 0.0)} for name, amount in sorted(capacity.slots.items())
            },
        }
        lines = [json.dumps(found)]
    else:
        rows = [("max-running", str(len(running)), str(capacity.max_running))]
        rows += [
            (cells.shown(name), _amount(name, used.get(name, 0.0)), _amount(name, amount))
            for name, amount in sorted(capacity.slots.items())
        ]
        lines = plain(("WHAT", "USED", "LIMIT"), rows)
    return 0 if show(lines) else RaydpWrapError.exit_code


def _amount(name: str, amount: float) -> str:
    return cells.room(amount) if name == "memory" else f"{amount:g}"
