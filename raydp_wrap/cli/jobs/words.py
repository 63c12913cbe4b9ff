"""How a job is named on the command line, and completed by the shell."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from raydp_wrap.cli.messages import say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeVar

    from raydp_wrap.client.client import Client
    from raydp_wrap.client.job import Job

    _Command = TypeVar("_Command", bound=Callable[..., object])
    _Word = click.ParamType[str]
else:  # generic since click 8.4 only
    _Word = click.ParamType

__all__ = ["JobWord", "client", "found", "job_argument", "jobs_argument"]

# A shell puts a completion on its command line as it is, and would execute "name;reboot".
_HARMLESS = re.compile(r"[A-Za-z0-9._@%+=:,/-]+")
_OFFERED = 200  # of the newest jobs; more than that nobody looks through


def client() -> Client:
    """The client of this user's home; what a person should know is said on stderr."""
    from raydp_wrap.client.client import Client  # noqa: PLC0415 - not for a help text

    return Client(tell=say)


def found(among: Client, words: Iterable[str]) -> list[Job]:
    """The jobs that WORDS mean, each once.

    Raises:
        UsageError: one of them means none, or several.

    """
    return list(dict.fromkeys(among.job(word) for word in words))


class JobWord(_Word):
    """An id, the beginning of one, a name, or @last."""

    name = "job"

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's
        param: click.Parameter,  # noqa: ARG002 - click's
        incomplete: str,
    ) -> list[CompletionItem]:
        """The ids and names of the newest jobs that begin with INCOMPLETE; none, rather than an error at the prompt."""
        try:
            with client() as one:
                statuses = one.statuses(limit=_OFFERED)
        except Exception:  # noqa: BLE001 - see above
            return []
        offered = {"@last": "the job submitted last"}
        for status in statuses:
            name = status.submission.name
            offered.setdefault(status.submission_id, f"{status.phase.value} {name}")
            offered.setdefault(name, status.phase.value)
        return [
            CompletionItem(word, help=text if text.isprintable() else None)
            for word, text in offered.items()
            if word.startswith(incomplete) and _HARMLESS.fullmatch(word)
        ]


def job_argument(command: _Command) -> _Command:
    """COMMAND with one job, as ``word``."""
    return click.argument("word", metavar="JOB", type=JobWord())(command)


def jobs_argument(command: _Command) -> _Command:
    """COMMAND with one job or more, as ``words``."""
    return click.argument("words", metavar="JOB...", type=JobWord(), nargs=-1, required=True)(command)
