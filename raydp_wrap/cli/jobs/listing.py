"""``raydp-wrap jobs list``."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import click

from raydp_wrap.cli.jobs import cells
from raydp_wrap.cli.jobs.document import document, foreground_document
from raydp_wrap.cli.jobs.interrupts import end_as_interrupted
from raydp_wrap.cli.jobs.live import Picture, redraw
from raydp_wrap.cli.jobs.printing import console, on_terminal, print_json, print_line
from raydp_wrap.cli.jobs.table import plain, rich_table
from raydp_wrap.cli.jobs.words import client
from raydp_wrap.cli.messages import show
from raydp_wrap.cli.values import TagFilter
from raydp_wrap.errors import RaydpWrapError, UsageError
from raydp_wrap.request import Phase

if TYPE_CHECKING:
    from collections.abc import Sequence

    from raydp_wrap.client.client import Client
    from raydp_wrap.job import Job as Status
    from raydp_wrap.model import Submission, TerminalState

_HEAD = ("ID", "NAME", "PHASE", "ATTEMPTS", "EXIT", "REASON", "AGE", "ELAPSED")
_WIDE = ("PRIORITY", "TAGS", "COMMAND")
_FORMATS = ("table", "wide", "json", "name")
_NAME = 40
_MOST = 2**62


@click.command("list", epilog="The exit code is 0, also where there is no job.")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([phase.value for phase in Phase], case_sensitive=False),
    help="Only those in this phase. May be repeated.",
)
@click.option("--tag", "tags", multiple=True, type=TagFilter(), help="Only those with this tag. May be repeated.")
@click.option("--name", "-n", help="Only those of this name.")
@click.option(
    "--limit", type=click.IntRange(0, _MOST), default=50, show_default=True, help="At most so many; 0 is all."
)
@click.option("--all", "-a", "with_foreground", is_flag=True, help="With the runs in the foreground.")
@click.option("--output", "-o", type=click.Choice(_FORMATS), default="table", help="wide, json, or name (ids only).")
@click.option("--json", "as_json", is_flag=True, help="The same as -o json.")
@click.option("--watch", "-w", is_flag=True, help="Go on showing changes, until Ctrl-C.")
def list_(
    states: tuple[str, ...],
    tags: tuple[tuple[str, str | None], ...],
    name: str | None,
    limit: int,
    output: str,
    *,
    with_foreground: bool,
    as_json: bool,
    watch: bool,
) -> int:
    """List the jobs, newest first.

    Piped, --watch prints a line for each job that has changed.
    """
    if watch and with_foreground:
        raise UsageError("runs in the foreground can't be watched: leave out --all or --watch.")
    output = "json" if as_json else output
    with client() as one:
        listed = _Listed(one, [Phase(state.upper()) for state in states], dict(tags), name, limit or None)
        if watch:
            return _watch(listed, output)
        statuses = listed.now()
        runs = listed.foreground() if with_foreground else []
    if runs and limit:  # of both kinds together
        times = [status.submission.created_at for status in statuses] + [run[0].created_at for run in runs]
        oldest = sorted(times, reverse=True)[:limit][-1]
        statuses = [status for status in statuses if status.submission.created_at >= oldest]
        runs = [run for run in runs if run[0].created_at >= oldest]
    if output == "json":
        documents = [document(status) for status in statuses] + [foreground_document(*run) for run in runs]
        documents.sort(key=lambda one: str(one["submitted_at"]), reverse=True)
        return _told([json.dumps(documents, indent=2)])
    rows = [(status.submission.created_at, _row(status, output, time.time())) for status in statuses]
    rows += [(run[0].created_at, _foreground_row(*run, output)) for run in runs]
    rows.sort(key=lambda row: row[0], reverse=True)
    if output == "name":
        return _told([row[0] for _, row in rows])
    if on_terminal():
        screen = console()
        screen.print(rich_table(_head(output), [row for _, row in rows], screen.width))
        return 0
    return _told(plain(_head(output), [row for _, row in rows]))


def _told(lines: Sequence[str]) -> int:
    return 0 if show(lines) else RaydpWrapError.exit_code


class _Listed:
    """The jobs that were asked for."""

    def __init__(
        self, one: Client, phases: list[Phase], tags: dict[str, str | None], name: str | None, limit: int | None
    ) -> None:
        self.client = one
        self._phases = phases
        self._tags = tags
        self._name = name
        self._limit = limit

    def now(self, changed_since: int = 0) -> list[Status]:
        """Newest first; with CHANGED_SINCE all that have changed since then."""
        return self.client.statuses(
            phases=self._phases,
            tags=self._tags,
            name=self._name,
            limit=None if changed_since else self._limit,
            changed_since=changed_since,
        )

    def foreground(self) -> list[tuple[Submission, TerminalState]]:
        """The runs in the foreground to which the same applies."""
        found = []
        for submission, state in self.client.foreground():
            phase = Phase(state.value) if state.value in Phase.__members__ else Phase.RUNNING
            if (
                (not self._phases or phase in self._phases)
                and self._name in (None, submission.name)
                and all(
                    key in submission.tags and value in (None, submission.tags[key])
                    for key, value in self._tags.items()
                )
            ):
                found.append((submission, state))
        return found


def _head(output: str) -> tuple[str, ...]:
    return (*_HEAD, *_WIDE) if output == "wide" else _HEAD


def _row(status: Status, output: str, now: float) -> tuple[str, ...]:
    row = (
        status.submission_id,
        cells.shown(status.submission.name, _NAME) or "-",
        status.phase.value,
        cells.attempts(status),
        cells.ending(status),
        (status.reason or "-") if cells.ending(status) != "-" or status.phase.terminal else "-",
        cells.age(status, now),
        cells.elapsed(status, now),
    )
    if output != "wide":
        return row
    return (*row, str(status.request.priority), cells.labels(status.submission.tags), cells.command(status.request))


def _foreground_row(submission: Submission, state: TerminalState, output: str) -> tuple[str, ...]:
    phase = state.value if state.value in Phase.__members__ else Phase.RUNNING.value
    age = cells.length(time.time() - submission.created_at)
    row = (submission.submission_id, cells.shown(submission.name, _NAME) or "-", phase, "-", "-", "-", age, "-")
    return row if output != "wide" else (*row, "-", cells.labels(submission.tags), "(foreground)")


def _watch(listed: _Listed, output: str) -> int:
    with listed.client.watching() as watching:
        try:
            if on_terminal() and output in ("table", "wide"):
                redraw(watching, lambda width: _picture(listed.now(), output, width))
                return 0
            shown = 0
            if output in ("table", "wide"):
                print_line("  ".join(_head(output)))
            while True:
                latest = listed.client.last_change()
                for status in reversed(listed.now(shown)):
                    _print(status, output)
                shown = latest
                watching.wait()
        except BrokenPipeError:
            return 0
        except KeyboardInterrupt:
            return end_as_interrupted()


def _picture(statuses: list[Status], output: str, width: int) -> Picture:
    now = time.time()
    table = rich_table(_head(output), [_row(status, output, now) for status in statuses], width)
    return Picture(table, ticking=any(status.active for status in statuses), last=False)


def _print(status: Status, output: str) -> None:
    if output == "json":
        print_json([document(status)])
    elif output == "name":
        print_line(status.submission_id)
    else:
        print_line("  ".join(_row(status, output, time.time())))
