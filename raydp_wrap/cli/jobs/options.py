"""Every field of a request as an option, and the request's fields from the options."""

from __future__ import annotations

import os
import shlex
import signal
from typing import TYPE_CHECKING, Any

import click

from raydp_wrap import settings
from raydp_wrap.cli.jobs.words import JobWord
from raydp_wrap.cli.values import Amount, Duration, EnvironmentEntry, SignalNumber, Size
from raydp_wrap.errors import UsageError
from raydp_wrap.request import Condition, Dependency, Preparation, RetryPolicy, Unset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeVar

    from raydp_wrap.client.client import Client
    from raydp_wrap.client.options import Options

    _Command = TypeVar("_Command", bound=Callable[..., object])

__all__ = ["options_of", "request_options"]

_AFTER = {condition.value: condition for condition in Condition}
_STANDARD = RetryPolicy()

_OPTIONS = (
    click.option("--name", "-n", default="", help="What to call the job.  [default: the command's name]"),
    click.option("--cwd", metavar="DIRECTORY", help="Run it in DIRECTORY.  [default: this one]"),
    click.option("--env", multiple=True, type=EnvironmentEntry(), help="Set a variable for it. May be repeated."),
    click.option("--tag", "tags", multiple=True, type=EnvironmentEntry(), help="To find it by. May be repeated."),
    click.option("--metadata", multiple=True, type=EnvironmentEntry(), help="Kept with it, as it is. May be repeated."),
    click.option("--sink", "sinks", multiple=True, metavar="SINK", help="Tell SINK the outcome, as run does."),
    click.option("--grace", type=Duration(), default="10s", help="From the stop signal to SIGKILL."),
    click.option("--stop-signal", type=SignalNumber(), default="TERM", help="The signal that asks it to stop."),
    click.option("--active-deadline", type=Duration(), help="Stop it after this long, all its attempts together."),
    click.option("--attempt-deadline", type=Duration(), help="Stop an attempt after this long."),
    click.option("--start-timeout", type=Duration(), help="How long an attempt may take to be up."),
    click.option(
        "--backoff-limit", type=int, help="How many failed attempts may be followed by another.  [default: 0]"
    ),
    click.option(
        "--backoff", type=Duration(), default="10s", help="The pause before the first retry; then it doubles."
    ),
    click.option("--backoff-cap", type=Duration(), default="6m", help="The longest pause before a retry."),
    click.option(
        "--retry-on", metavar="ENDS", help="These ends are retried without being counted: 52,137,OutOfMemory."
    ),
    click.option("--failure-policy", metavar="FILE", help="Rules in the shape of podFailurePolicy, as JSON."),
    click.option("--priority", type=int, default=0, help="Who has a higher one starts earlier."),
    click.option("--cpus", type=float, default=0.0, help="Of the CPUs that there are for jobs, how many it takes."),
    click.option("--memory", type=Size(), default="0", help="Of the memory that there is for jobs, how much it takes."),
    click.option("--slot", "slots", multiple=True, type=Amount(), help="What it takes of a resource. May be repeated."),
    click.option(
        "--after",
        multiple=True,
        type=JobWord(),
        metavar="JOB[:any]",
        help="Start when JOB has finished (with :any however it ends). May be repeated.",
    ),
    click.option("--env-key", help="The runtime environment that it needs, which jobs of the same key share."),
    click.option("--setup", metavar="COMMAND LINE", help="Makes that environment, once."),
    click.option("--verify", metavar="COMMAND LINE", help="Exits with 0 where it is there already."),
    click.option("--cleanup", metavar="COMMAND LINE", help="Removes it, when no job needs it any more."),
    click.option("--setup-timeout", type=Duration(), default="10m", help="How long its setup may take."),
    click.option("--ttl-after-finished", type=Duration(), help="Forget the job so long after its end."),
    click.option("--suspend", is_flag=True, help="Begin suspended: raydp-wrap jobs resume starts it."),
    click.option("--split-logs", "split_output", is_flag=True, help="Keep stderr apart from stdout."),
    click.option("--log-limit", type=Size(), help="How much of the output to keep; the oldest goes first."),
    click.option("--backend", default="local", help="Where it runs."),
)


def request_options(command: _Command) -> _Command:
    """COMMAND with all of them."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def options_of(one: Client, said: dict[str, Any]) -> Options:
    """What was SAID, option by option, as a client wants it.

    Raises:
        UsageError: it makes no sense.

    """
    for several in ("env", "tags", "metadata", "slots"):
        said[several] = dict(said[several])
    said["sinks"] = (*said["sinks"], *settings.sink_texts(os.environ, {}, ()))
    said["stop_signal"] = said["stop_signal"] or signal.SIGTERM
    said["retry"] = _retry(said)
    said["after"] = _after(one, said["after"])
    said["preparation"] = _preparation(said)
    cwd = said["cwd"]
    # What makes the directory may be another job, or the setup.
    if cwd is not None and not os.path.isdir(cwd) and not said["after"] and said["preparation"] is None:
        raise UsageError(f"there is no directory {cwd!r} to run the command in: make it, or name another.")
    options: Options = said  # type: ignore[assignment] # each has been made of its option above
    return options


def _retry(said: dict[str, Any]) -> RetryPolicy:
    from raydp_wrap.cli.jobs.failure_policy import read_policy  # noqa: PLC0415 - only who submits
    from raydp_wrap.retry import retry_on  # noqa: PLC0415 - the same

    limit, first, cap = said.pop("backoff_limit"), said.pop("backoff"), said.pop("backoff_cap")
    path, ends = said.pop("failure_policy"), said.pop("retry_on")
    rules = (read_policy(path) if path else ()) + (retry_on(ends) if ends else ())
    return RetryPolicy(Unset.UNSET if limit is None else limit, first, cap, _STANDARD.jitter, rules)


def _after(one: Client, words: Iterable[str]) -> list[Dependency]:
    found = []
    for word in words:
        name, _, how = word.rpartition(":")
        if how not in _AFTER or not name:
            name, how = word, Condition.FINISHED.value
        found.append(Dependency(one.job(name).id, _AFTER[how]))
    return found


def _preparation(said: dict[str, Any]) -> Preparation | None:
    key, timeout = said.pop("env_key"), said.pop("setup_timeout")
    commands = {name: _words(name, said.pop(name)) for name in ("setup", "verify", "cleanup")}
    if key is None:
        if any(commands.values()):
            raise UsageError("an environment's setup needs a key, which the jobs that share it name: give --env-key.")
        return None
    return Preparation(key, timeout=timeout, **commands)


def _words(name: str, line: str | None) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(line or ""))
    except ValueError as error:
        raise UsageError(f"--{name} {line!r} can't be taken apart ({error}): see its quotes.") from error
