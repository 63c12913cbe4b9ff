"""``raydp-wrap jobs events``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from raydp_wrap.cli.jobs import cells
from raydp_wrap.cli.jobs.document import change_document
from raydp_wrap.cli.jobs.interrupts import end_as_interrupted, interruptible
from raydp_wrap.cli.jobs.printing import print_line
from raydp_wrap.cli.jobs.words import client

if TYPE_CHECKING:
    from raydp_wrap.job import Change


@click.command()
@click.option("--since", type=click.IntRange(0, 2**62), metavar="NUMBER", help="Those after the change of this number.")
@click.option("--follow", "-f", is_flag=True, help="Go on until Ctrl-C; without --since only with what comes.")
@click.option("--json", "as_json", is_flag=True, help="Print each as JSON, on one line.")
def events(since: int | None, *, follow: bool, as_json: bool) -> int:
    """Print what has happened to all jobs, oldest first: a numbered line for each change."""
    with client() as one:
        changes = one.changes(since) if follow else one.changes_until_now(since or 0)
        try:
            with interruptible():
                for change in changes:
                    print_line(json.dumps(change_document(change)) if as_json else _line(change))
        except BrokenPipeError:
            return 0
        except KeyboardInterrupt:
            return end_as_interrupted()
    return 0


def _line(change: Change) -> str:
    detail = " ".join(f"{name}={cells.shown(str(value))}" for name, value in change.detail.items())
    kind = change.kind.value.replace(" ", "-")
    line = f"{change.seq}  {cells.clock(change.at)}  {change.submission_id}  {kind}  {change.phase.value}"
    return "  ".join(filter(None, (line, f"attempt {change.attempt}" if change.attempt else "", detail)))
