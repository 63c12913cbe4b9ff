"""``raydp-wrap jobs submit``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from raydp_wrap.cli.entry import leave
from raydp_wrap.cli.jobs.document import document
from raydp_wrap.cli.jobs.follow import follow as follow_
from raydp_wrap.cli.jobs.options import options_of, request_options
from raydp_wrap.cli.jobs.printing import check_stdout, on_terminal, print_json, print_line
from raydp_wrap.cli.jobs.words import client
from raydp_wrap.cli.messages import say
from raydp_wrap.errors import UsageError

if TYPE_CHECKING:
    from raydp_wrap.client.job import Job
    from raydp_wrap.job import Job as Status
    from raydp_wrap.model import Outcome


@click.command(
    context_settings={"allow_interspersed_args": False, "show_default": True},
    epilog="The exit code is 0 when the job is stored, 125 when it is not. With --follow it is the job's own: 128+n if "
    "signal n ended it, 124 for a deadline, 126 if it can't be executed, 127 if it is not found.",
)
@click.option("--shell", "line", metavar="LINE", help="One shell line, in the place of COMMAND.")
@click.option("--id", "submission_id", help="Its id: the same request again finds the same job.")
@request_options
@click.option("--follow", "-f", is_flag=True, help="Print what it writes, and exit with its code. Ctrl-C leaves it.")
@click.option("--stop-on-interrupt", is_flag=True, help="With --follow: Ctrl-C stops the job.")
@click.option("--quiet", "-q", is_flag=True, help="Print its id and nothing else.")
@click.option("--json", "as_json", is_flag=True, help="Print the job as JSON, on one line; with --follow at its end.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[--] COMMAND [ARGUMENT]...")
def submit(
    command: tuple[str, ...],
    line: str | None,
    submission_id: str | None,
    *,
    follow: bool,
    stop_on_interrupt: bool,
    quiet: bool,
    as_json: bool,
    **said: Any,
) -> int:
    """Have COMMAND run in the background, and print the job's id.

    When this returns the job is stored durably, with this environment, directory and umask: it runs whatever becomes of
    this shell.
    """
    if line is not None and command:
        raise UsageError("there are a --shell line and a command: give one of them.")
    if line is None and not command:
        raise UsageError("there is no command to run: raydp-wrap jobs submit [options] -- COMMAND [ARGUMENT]...")
    check_stdout()
    with client() as one:
        options = options_of(one, said)
        if line is None:
            job = one.submit(command, submission_id=submission_id, **options)
        else:
            job = one.submit(line, shell=True, submission_id=submission_id, **options)  # noqa: S604 - asked for
        if follow:
            return _followed(job, split=said["split_output"], stop=stop_on_interrupt, quiet=quiet, as_json=as_json)
        try:
            _tell(job, quiet=quiet, as_json=as_json)
        except OSError as error:
            say(f"job {job.id} is submitted; that could not be printed: {error.strerror}")
            return UsageError.exit_code
    return 0


def _tell(job: Job, *, quiet: bool, as_json: bool) -> None:
    if as_json:
        print_json([document(job.status())])
        return
    print_line(job.id)
    if on_terminal() and not quiet:
        print_line(f"  raydp-wrap jobs logs -f {job.id}    follows its output")
        print_line(f"  raydp-wrap jobs status {job.id}     shows how it stands")
        print_line(f"  raydp-wrap jobs stop {job.id}       stops it")


def _followed(job: Job, *, split: bool, stop: bool, quiet: bool, as_json: bool) -> int:
    if not quiet and os.isatty(2):
        say(f"job {job.id}: Ctrl-C {'stops it' if stop else 'leaves it, and it goes on'}")
    if not as_json:
        return follow_(job, lambda outcome, _: leave(outcome), split=split, stop_on_interrupt=stop)

    def tell_and_leave(outcome: Outcome, status: Status) -> int:
        print_line("")  # what it wrote may not have ended with a newline
        print_json([document(status, outcome)])
        return leave(outcome)

    return follow_(job, tell_and_leave, split=split, stop_on_interrupt=stop)
