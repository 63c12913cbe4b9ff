"""``raydp-wrap run``: any command, in the foreground."""

from __future__ import annotations

import errno
import json
import os
import signal
from typing import TYPE_CHECKING

import click

from raydp_wrap import foreground, settings
from raydp_wrap.cli.descriptors import named_descriptors
from raydp_wrap.cli.entry import hold_signals, leave, release_if_blocked
from raydp_wrap.cli.messages import put, say
from raydp_wrap.cli.values import Duration, EnvironmentEntry, SignalNumber
from raydp_wrap.errors import CommandNotFoundError, UsageError
from raydp_wrap.model import Launch
from raydp_wrap.outcome import to_dict

if TYPE_CHECKING:
    from raydp_wrap.model import Outcome


@click.command(
    context_settings={"allow_interspersed_args": False, "show_default": True},
    epilog="The exit code is the command's; 128+n if signal n ended it, 124 for a deadline, "
    "125 if raydp-wrap itself fails, 126 if the command can't be executed, 127 if it is not found.",
)
@click.option("--name", help="What to call the job in its outcome.  [default: the command's name]")
@click.option("--cwd", metavar="DIRECTORY", help="Run the command in DIRECTORY.")
@click.option("--env", multiple=True, type=EnvironmentEntry(), help="Set a variable for the command. May be repeated.")
@click.option("--grace", type=Duration(), default="10s", help="From the stop signal to SIGKILL.")
@click.option("--stop-signal", type=SignalNumber(), default="TERM", help="The signal that asks the command to stop.")
@click.option("--active-deadline", type=Duration(), help="Stop the job after this long; the exit code is 124.")
@click.option("--report", metavar="FILE", help="Write the outcome to FILE as JSON, when the job has ended.")
@click.option(
    "--sink",
    "more",
    multiple=True,
    metavar="SINK",
    help="Tell SINK the outcome: file:PATH, webhook:URL, "
    "exec:COMMAND LINE, or a plugin's. May be repeated; RAYDP_WRAP_SINKS holds more, one a line.",
)
@click.option(
    "--report-timeout",
    type=Duration(),
    help="How long the end may wait for sinks; what they have not taken "
    "by then, raydp-wrap deliver sends.  [default: 5s]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON, as the last line of stdout.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[--] COMMAND [ARGUMENT]...")
def run(
    name: str | None,
    cwd: str | None,
    env: tuple[tuple[str, str], ...],
    grace: float,
    stop_signal: int,
    active_deadline: float | None,
    report: str | None,
    more: tuple[str, ...],
    report_timeout: float | None,
    command: tuple[str, ...],
    *,
    as_json: bool,
) -> int:
    """Run COMMAND in the foreground, as if called directly, and own its whole process tree.

    Nothing the command starts survives it. SIGTERM or SIGINT to this process stops the job: the signal is
    passed on, and what remains after the grace is killed; a second one shortens the grace to a second, a
    third ends it. HUP, QUIT, USR1, USR2 and CONT are passed on. If this process is killed, the job ends too.
    """
    if not command:
        raise UsageError("there is no command to run: raydp-wrap run [options] -- COMMAND [ARGUMENT]...")
    if active_deadline is not None and active_deadline <= 0:
        raise UsageError("the active deadline must be more than 0: leave it out to wait for ever.")
    if cwd is not None and not os.path.isdir(cwd):
        raise UsageError(f"there is no directory {cwd!r} to run the command in: make it, or name another.")
    if not command[0]:
        raise CommandNotFoundError(errno.ENOENT, "the command's name is empty: give one that can be run.", "")
    named = named_descriptors(command)
    launch = Launch(argv=command, cwd=cwd, env={**os.environ, **dict(env)} if env else None, pass_fds=named)
    hold_signals()
    outcome = foreground.run(
        launch,
        foreground.Policy(
            name=name or "",
            grace=grace,
            stop_signal=stop_signal or signal.SIGTERM,
            active_deadline=active_deadline,
            sinks=_sinks(report, more),
            report_timeout=settings.report_timeout(os.environ, {}) if report_timeout is None else report_timeout,
            hand_over=(0, *named) if as_json else (0, 1, *named),
        ),
        tell=say,
    )
    if as_json:
        _print_json(outcome)
    return leave(outcome)


def _sinks(report: str | None, more: tuple[str, ...]) -> tuple[str, ...]:
    named = [] if report is None else [f"file:{report}"]
    return (*named, *more, *settings.sink_texts(os.environ, {}, ()))


def _print_json(outcome: Outcome) -> None:
    # What the command wrote may not have ended with a newline.
    data = (b"\n" if outcome.started_at is not None else b"") + json.dumps(to_dict(outcome)).encode() + b"\n"
    release_if_blocked(1)
    try:
        put(data)
    except BrokenPipeError:
        pass
    except OSError as error:
        say(f"the outcome could not be printed: {error.strerror}; it is {outcome.state.value}")
