"""``raydp-wrap jobs retry``: the same request once more, as a new job. The old one stays, with its logs."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from raydp_wrap.cli.jobs.each import each
from raydp_wrap.cli.jobs.printing import check_stdout, print_line
from raydp_wrap.cli.jobs.words import JobWord, client, found
from raydp_wrap.cli.messages import say
from raydp_wrap.errors import UsageError
from raydp_wrap.request import Phase, Request

if TYPE_CHECKING:
    from raydp_wrap.client.client import Client
    from raydp_wrap.client.job import Job

#: Where the new job's metadata name the old one.
RETRY_OF = "retry-of"


@click.command(epilog="The new jobs' ids are printed, one a line. They come after no other job.")
@click.option("--edit", "-e", is_flag=True, help="Change the request first, in $VISUAL or $EDITOR.")
@click.option("--all-failed", is_flag=True, help="All that FAILED, and have not been retried yet.")
@click.argument("words", metavar="[JOB]...", type=JobWord(), nargs=-1)
def retry(words: tuple[str, ...], *, edit: bool, all_failed: bool) -> int:
    """Submit what JOB was asked to do once more, as a new job, from this shell's environment."""
    if bool(words) == all_failed:
        raise UsageError("say what to retry: give a job, or --all-failed.")
    check_stdout()
    with client() as one:
        jobs = _failed(one) if all_failed else found(one, words)

        def again(job: Job) -> None:
            request = job.status().request
            request = _edited(request) if edit else request
            marked = {**request.metadata, RETRY_OF: job.id}
            new = one.repeat(replace(request, after=(), metadata=marked))
            try:
                print_line(new.id)
            except OSError as error:
                say(f"{job.id} is submitted again as {new.id}; that could not be printed: {error.strerror}")

        return each(jobs, again)


def _failed(one: Client) -> list[Job]:
    """Oldest first."""
    statuses = one.statuses()
    retried = {status.request.metadata.get(RETRY_OF) for status in statuses}
    failed = [status.submission_id for status in statuses if status.phase is Phase.FAILED]
    return [one.job(submission_id) for submission_id in reversed(failed) if submission_id not in retried]


def _edited(request: Request) -> Request:
    """REQUEST as the user has left it in an editor. Its file is the user's alone, and gone afterwards."""
    try:
        text = click.edit(json.dumps(request.to_dict(), indent=2), extension=".json")
    except click.ClickException as error:
        raise UsageError(error.format_message()) from error
    if text is None:
        raise UsageError("nothing was changed: nothing was submitted.")
    try:
        raw = json.loads(text)
        unknown = sorted(set(raw) - set(Request.__dataclass_fields__))
        if unknown:
            raise UsageError(f"a request has no {unknown[0]!r}: nothing was submitted.")
        edited = Request.from_dict({**raw, "argv": _words(raw["argv"])})
        edited.check()
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"what was edited is no request ({error}): nothing was submitted.") from error
    return edited


def _words(value: object) -> tuple[str, ...]:
    """An argument list: a string alone would be taken for one of single letters."""
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise TypeError("argv has to be a list of strings")
    return tuple(value)
