"""``raydp-wrap jobs delete``."""

from __future__ import annotations

import click

from raydp_wrap.cli.jobs.each import each
from raydp_wrap.cli.jobs.words import client, found, jobs_argument


@click.command()
@click.option("--force", is_flag=True, help="Also where a sink has still to be told how it ended: it never will be.")
@jobs_argument
def delete(words: tuple[str, ...], *, force: bool) -> int:
    """Forget each JOB, with all it has written. It must have ended."""
    with client() as one:
        return each(found(one, words), lambda job: one.delete(job, force=force))
