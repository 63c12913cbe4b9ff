"""``raydp-wrap``: the click application. A command is imported when it is called, a plugin's as well."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING

import click

from raydp_wrap import __version__, plugins
from raydp_wrap.cli.messages import say
from raydp_wrap.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Name → module and attribute. A plugin can't take one of these names.
BUILT_IN = {
    "deliver": "raydp_wrap.cli.deliver:deliver",
    "doctor": "raydp_wrap.cli.doctor:doctor",
    "jobs": "raydp_wrap.cli.jobs.group:jobs",
    "plugins": "raydp_wrap.cli.plugins:plugins",
    "run": "raydp_wrap.cli.run:run",
    "spark-submit": "raydp_wrap.cli.app:spark_submit",
}
_HELP_LIMIT = 5.0


class _Commands(click.Group):
    """The built-in commands, and those of plugins."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's
        """Every command's name."""
        return sorted([*BUILT_IN, *_of_plugins_if_possible()])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's
        """The command, imported; None where there is none.

        Raises:
            PluginError: a plugin brings it, and it is broken.

        """
        if cmd_name in BUILT_IN:
            module, _, attribute = BUILT_IN[cmd_name].partition(":")
            command: click.Command = getattr(import_module(module), attribute)
            return command
        if cmd_name.startswith("-"):
            return None
        make = plugins.commands(say, taken=BUILT_IN).get(cmd_name)
        return make() if make is not None else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """One line for each command; a broken one's says so."""
        brought = _of_plugins_if_possible()
        names = sorted([*BUILT_IN, *brought])
        width = formatter.width - 6 - max(map(len, names))
        rows = []
        for name in names:
            if name in brought:
                text = _help_line(brought[name], width)
            else:
                command = self.get_command(ctx, name)
                text = command.get_short_help_str(width) if command is not None else ""
            if text is not None:
                rows.append((name, text))
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _of_plugins_if_possible() -> dict[str, Callable[[], click.Command]]:
    try:
        return plugins.commands(say, taken=BUILT_IN)
    except UsageError as error:  # help is what one needs just then
        say(str(error))
        return {}


def _help_line(make: Callable[[], click.Command], width: int) -> str | None:
    """What a plugin's command is for; None if it wants to be hidden."""

    def line() -> str | None:
        command = make()
        return None if command.hidden else plugins.printable(command.get_short_help_str(width))

    called = plugins.call(lambda: [line()], _HELP_LIMIT)
    if called.value is not None:
        return called.value[0]
    why = called.says if called.error is not None else f"its import takes more than {_HELP_LIMIT:g} s"
    return f"(broken: {plugins.printable(why)})"


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="raydp-wrap", message="%(prog)s %(version)s")
def app() -> None:
    """Start a job's driver, own its whole process tree, and say exactly once how it ended."""


@click.command("spark-submit", add_help_option=False)
def spark_submit() -> None:
    """Run spark-submit under a guard: its own command line, streams and exit code (see spark-submit --help)."""


def main(argv: Sequence[str]) -> int:
    """Parse ARGV and run the command; its exit code.

    Raises:
        UsageError: the command line is wrong.

    """
    try:
        result = app.main(args=list(argv), prog_name="raydp-wrap", standalone_mode=False)
    except click.ClickException as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # which click has since 8.2
            print(error.format_message(), file=sys.stderr)  # noqa: T201
            return UsageError.exit_code
        message = " ".join(error.format_message().split()).rstrip(".")
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "raydp-wrap"
        raise UsageError(f"{message} ({command} --help tells more).") from error
    except click.Abort as error:
        raise UsageError("interrupted.") from error
    return result if isinstance(result, int) else 0
