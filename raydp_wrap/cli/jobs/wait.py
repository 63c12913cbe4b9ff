"""``raydp-wrap jobs wait``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from raydp_wrap.cli.jobs.interrupts import end_as_interrupted, interruptible
from raydp_wrap.cli.jobs.printing import print_json, print_line
from raydp_wrap.cli.jobs.words import client, found, jobs_argument
from raydp_wrap.cli.messages import explain, say
from raydp_wrap.cli.values import Duration
from raydp_wrap.errors import WaitTimeoutError
from raydp_wrap.outcome import exit_status, signal_name, to_dict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from raydp_wrap.client.client import Client
    from raydp_wrap.client.job import Job
    from raydp_wrap.model import Outcome

_TIMEOUT_STATUS = 124


@click.command(
    epilog="The exit code is the job's own, of several jobs the first that is not 0: 128+n if signal n ended it, 124 "
    "for a deadline, and 124 as well when the timeout is over."
)
@click.option("--timeout", type=Duration(), help="Wait no longer than this; the jobs go on.")
@click.option("--any", "first", is_flag=True, help="Wait only for the first that ends.")
@click.option("--quiet", "-q", is_flag=True, help="Print nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print each outcome as JSON, on one line.")
@jobs_argument
def wait(words: tuple[str, ...], timeout: float | None, *, first: bool, quiet: bool, as_json: bool) -> int:
    """Wait until each JOB has ended, and exit with its code."""
    status = 0
    with client() as one:
        jobs = found(one, words)
        try:
            with interruptible():
                for outcome in [_first_end(one, jobs, timeout)] if first else _ends(jobs, timeout):
                    status = status or exit_status(outcome)
                    if not quiet:
                        _tell(outcome, as_json=as_json)
        except WaitTimeoutError as error:
            say(f"{error}: it goes on.")
            return status or _TIMEOUT_STATUS
        except BrokenPipeError:
            return status
        except KeyboardInterrupt:
            return end_as_interrupted()
    return status


def _ends(jobs: list[Job], timeout: float | None) -> Iterator[Outcome]:
    deadline = None if timeout is None else time.monotonic() + timeout
    for job in jobs:
        try:
            yield job.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
        except WaitTimeoutError:
            raise WaitTimeoutError(f"job {job.id} has not ended within {timeout:g} s") from None


def _first_end(one: Client, jobs: list[Job], timeout: float | None) -> Outcome:
    deadline = None if timeout is None else time.monotonic() + timeout
    with one.watching(*jobs) as watching:
        while True:
            for job in jobs:
                if (outcome := job.outcome) is not None:
                    return outcome
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise WaitTimeoutError(f"none of {len(jobs)} jobs has ended within {timeout:g} s")
            watching.wait(left)


def _tell(outcome: Outcome, *, as_json: bool) -> None:
    if as_json:
        print_json([to_dict(outcome)])
        return
    end = outcome.exit_code if outcome.signal is None else signal_name(outcome.signal)
    print_line(f"{outcome.submission_id}  {outcome.state.value}  {end}")
    explain(outcome)
