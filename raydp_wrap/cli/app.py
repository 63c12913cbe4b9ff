"""``raydp-wrap``: the click application."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from raydp_wrap import __version__
from raydp_wrap.cli.run import run
from raydp_wrap.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="raydp-wrap", message="%(prog)s %(version)s")
def app() -> None:
    """Start a job's driver, own its whole process tree, and say exactly once how it ended."""


app.add_command(run)


@app.command("spark-submit", add_help_option=False)
def spark_submit() -> None:
    """Run spark-submit under a guard: its own command line, streams and exit code (see spark-submit --help)."""


def main(argv: Sequence[str]) -> int:
    """Parse ARGV and run the command; its exit code.

    Raises:
        UsageError: the command line is wrong.

    """
    try:
        result = app.main(args=list(argv), prog_name="raydp-wrap", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)  # noqa: T201
        return UsageError.exit_code
    except click.ClickException as error:
        message = " ".join(error.format_message().split()).rstrip(".")
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "raydp-wrap"
        raise UsageError(f"{message} ({command} --help tells more).") from error
    except click.Abort as error:
        raise UsageError("interrupted.") from error
    return int(result or 0)
