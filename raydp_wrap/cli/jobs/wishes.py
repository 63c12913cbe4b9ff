"""``raydp-wrap jobs stop``, ``suspend`` and ``resume``: wishes, which the supervisor makes true."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from raydp_wrap.cli.jobs.each import each
from raydp_wrap.cli.jobs.interrupts import end_as_interrupted, interruptible
from raydp_wrap.cli.jobs.words import client, found, jobs_argument
from raydp_wrap.cli.messages import say
from raydp_wrap.cli.values import Duration

if TYPE_CHECKING:
    from raydp_wrap.client.job import Job


def _by(command: str) -> str:
    """Who asks, for the job's diagnostics: a person, for our pid will be gone by then."""
    import pwd  # noqa: PLC0415 - only here

    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = f"uid {uid}"
    return f"{name} (raydp-wrap jobs {command})"


@click.command(epilog="The exit code is 0, also for a job that had ended already.")
@click.option("--grace", type=Duration(), help="From the stop signal to SIGKILL.  [default: the job's own]")
@click.option("--wait", "-w", "waits", is_flag=True, help="Return when the jobs have ended.")
@jobs_argument
def stop(words: tuple[str, ...], grace: float | None, *, waits: bool) -> int:
    """Stop each JOB: its stop signal, then after the grace SIGKILL, for its whole process tree.

    One that has not been started never will be. Saying it again with a smaller grace shortens that.
    """
    label = _by("stop")

    def stop_one(job: Job) -> None:
        if not job.stop(grace, label):
            say(f"{job.id} has ended already: it is {job.phase.value}.")

    with client() as one:
        jobs = found(one, words)
        status = each(jobs, stop_one)
        if waits:
            try:
                with interruptible():
                    each(jobs, lambda job: job.wait())
            except KeyboardInterrupt:
                return end_as_interrupted()
    return status


@click.command()
@jobs_argument
def suspend(words: tuple[str, ...]) -> int:
    """Suspend each JOB: its attempt is ended, and another one begins when it is resumed."""
    label = _by("suspend")
    with client() as one:
        return each(found(one, words), lambda job: job.suspend(label))


@click.command()
@jobs_argument
def resume(words: tuple[str, ...]) -> int:
    """Resume each suspended JOB, at its old place in the queue."""
    label = _by("resume")
    with client() as one:
        return each(found(one, words), lambda job: job.resume(label))
