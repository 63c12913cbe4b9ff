"""``raydp-wrap tally PATH``: how many outcomes of each state a file holds."""

from __future__ import annotations

import json
from collections import Counter

import click
from raydp_wrap.errors import UsageError

from raydp_wrap_example.jsonl import lines


@click.command()
@click.argument("path")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def tally(path: str, *, as_json: bool) -> None:
    """Count the outcomes in PATH, a file of the sink jsonl:, by state."""
    try:
        counted = Counter(str(found["state"]) for found in lines(path))
    except OSError as error:
        raise UsageError(f"{path} can't be read ({error.strerror}): name a file of the sink jsonl:.") from error
    if as_json:
        click.echo(json.dumps(counted))
        return
    for state, number in sorted(counted.items()):
        click.echo(f"{number:6} {state}")
