"""``raydp-wrap jobs``: the group. A command is imported when it is called."""

from __future__ import annotations

from importlib import import_module

import click

__all__ = ["jobs"]

_HERE = "raydp_wrap.cli.jobs"
# Name → module and attribute, in the order of the help text.
_COMMANDS = {
    "submit": "submit:submit",
    "list": "listing:list_",
    "status": "status:status",
    "logs": "logs:logs",
    "wait": "wait:wait",
    "why": "why:why",
    "stop": "wishes:stop",
    "suspend": "wishes:suspend",
    "resume": "wishes:resume",
    "retry": "again:retry",
    "delete": "delete:delete",
    "limits": "limits:limits",
    "events": "events:events",
}


class _Jobs(click.Group):
    """The commands, in the order in which they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's
        """Every command's name."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's
        """The command, imported; None where there is none."""
        if cmd_name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(f"{_HERE}.{module}"), attribute)
        return command


@click.group(cls=_Jobs, context_settings={"help_option_names": ["-h", "--help"]})
def jobs() -> None:
    """Have commands run in the background: queued, retried, supervised, whatever becomes of this shell.

    A JOB is given by its id, the beginning of its id, its name (the newest that has not ended, else the newest), or
    as @last, @last-1 and so on.
    """
