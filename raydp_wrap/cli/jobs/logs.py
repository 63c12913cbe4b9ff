"""``raydp-wrap jobs logs``."""

from __future__ import annotations

import click

from raydp_wrap.cli.jobs.interrupts import end_as_interrupted, interruptible
from raydp_wrap.cli.jobs.pouring import pour
from raydp_wrap.cli.jobs.printing import check_stdout
from raydp_wrap.cli.jobs.words import client, job_argument
from raydp_wrap.cli.messages import say
from raydp_wrap.cli.values import Past
from raydp_wrap.errors import UsageError


@click.command(epilog="Piped, the output is what the job wrote, byte for byte. The exit code is 0.")
@click.option("--follow", "-f", is_flag=True, help="Go on until the job has ended, over all its attempts.")
@click.option("--tail", type=click.IntRange(0), metavar="LINES", help="Only the last lines.")
@click.option("--since", type=Past(), metavar="TIME", help="Only what is newer: 10m, or 2026-11-22T14:00:00Z.")
@click.option("--previous", "-p", is_flag=True, help="Of the attempt before the last.")
@click.option("--attempt", type=click.IntRange(1), metavar="NUMBER", help="Of this attempt.  [default: the last]")
@click.option("--stderr", is_flag=True, help="Only stderr, of a job submitted with --split-logs.")
@click.option("--offset", type=click.IntRange(0), default=0, metavar="BYTES", help="From this byte on.")
@job_argument
def logs(
    word: str,
    tail: int | None,
    since: float | None,
    attempt: int | None,
    offset: int,
    *,
    follow: bool,
    previous: bool,
    stderr: bool,
) -> int:
    """Print what JOB has written.

    On a terminal only its colours are obeyed; every other control sequence is shown.
    """
    if previous and attempt is not None:
        raise UsageError("--previous and --attempt name two attempts: give one of them.")
    check_stdout()
    first = True

    def begun(number: int) -> None:
        nonlocal first
        if not first:
            say(f"attempt {number}:")
        first = False

    with client() as one:
        chunks = one.job(word).logs(
            follow=follow,
            offset=offset,
            stream="errors" if stderr else "output",
            attempt=-1 if previous else attempt,
            tail=tail,
            since=since,
            begun=begun,
        )
        try:
            with interruptible():
                pour(chunks, 1)
        except BrokenPipeError:
            return 0
        except KeyboardInterrupt:
            return end_as_interrupted()
    return 0
