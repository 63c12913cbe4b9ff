"""``raydp-wrap jobs status``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from raydp_wrap.cli.jobs.document import document
from raydp_wrap.cli.jobs.facts import Fact, facts, used
from raydp_wrap.cli.jobs.interrupts import end_as_interrupted, interruptible
from raydp_wrap.cli.jobs.live import Picture, redraw
from raydp_wrap.cli.jobs.printing import console, on_terminal, print_json, print_line
from raydp_wrap.cli.jobs.table import phase_text
from raydp_wrap.cli.jobs.words import client, found, jobs_argument
from raydp_wrap.moment import Moment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import RenderableType

    from raydp_wrap.cli.jobs.tree import Tree, Use
    from raydp_wrap.client.client import Client
    from raydp_wrap.client.job import Job
    from raydp_wrap.job import Job as Status

_WIDTH = 13


@click.command(epilog="The exit code is 0: it answers a question. See raydp-wrap jobs wait for the job's own.")
@click.option("--watch", "-w", is_flag=True, help="Go on showing it until it has ended. Piped: at each change.")
@click.option("--json", "as_json", is_flag=True, help="Print an object on one line for each job (at each change).")
@jobs_argument
def status(words: tuple[str, ...], *, watch: bool, as_json: bool) -> int:
    """Show all that is known of each JOB: phase, attempts, what it uses, and how it ended."""
    with client() as one:
        looks = [_Look(one, job) for job in found(one, words)]
        try:
            if watch:
                _watch(one, looks, as_json=as_json)
            else:
                _once(looks, as_json=as_json)
        except BrokenPipeError:
            return 0
        except KeyboardInterrupt:
            return end_as_interrupted()
    return 0


class _Look:
    """One job, looked at again and again."""

    def __init__(self, one: Client, job: Job) -> None:
        self.job = job
        self._home = one.home
        self._tree: tuple[int, Tree | None] = (0, None)
        self._seen: tuple[float, Use] | None = None

    def document(self) -> tuple[Status, dict[str, Any]]:
        """Its status, and that as JSON values."""
        status = self.job.status()
        outcome = self.job.outcome if status.phase.terminal else None
        use = self._use(status)
        waits = self.job.why_waiting() if outcome is None else ""
        return status, {
            **document(status, outcome),
            "waits": waits or None,
            "uses": None if use is None else use._asdict(),
        }

    def facts(self) -> tuple[Status, list[Fact]]:
        """Its status, and that in words."""
        status, now = self.job.status(), time.time()
        if status.phase.terminal:
            return status, facts(status, self.job.outcome, now)
        before, use = self._seen, self._use(status)
        self._seen = None if use is None else (now, use)
        return status, facts(
            status,
            None,
            now,
            waits=self.job.why_waiting(),
            use=used(use, before, now),
            deadline_in=None if status.deadline is None else Moment.now().until(status.deadline),
        )

    def _use(self, status: Status) -> Use | None:
        from raydp_wrap.cli.jobs.tree import Tree  # noqa: PLC0415 - for what runs

        if not status.active:
            return None
        number, tree = self._tree
        if number != status.attempt or tree is None:
            tree, self._seen = Tree.of(self._home, status), None
            self._tree = (status.attempt, tree)
        return None if tree is None else tree.use()


def _once(looks: Iterable[_Look], *, as_json: bool) -> None:
    if as_json:
        print_json(look.document()[1] for look in looks)
    elif on_terminal():
        console().print(_drawn([look.facts()[1] for look in looks]))
    else:
        _print(look.facts()[1] for look in looks)


def _print(blocks: Iterable[list[Fact]]) -> None:
    for number, block in enumerate(blocks):
        if number:
            print_line("")
        for label, text in block:
            first, *more = text.splitlines() or [""]
            print_line(f"{label.ljust(_WIDTH)}{first}")
            for line in more:
                print_line(f"{' ' * _WIDTH}{line}".rstrip())


def _drawn(blocks: Iterable[list[Fact]]) -> RenderableType:
    from rich.console import Group  # noqa: PLC0415 - for terminals only
    from rich.table import Table  # noqa: PLC0415 - the same
    from rich.text import Text  # noqa: PLC0415 - the same

    drawn: list[RenderableType] = []
    for block in blocks:
        if drawn:
            drawn.append(Text())
        table = Table.grid(padding=(0, 2))
        for label, text in block:
            table.add_row(Text(label, style="bold"), phase_text(text))
        drawn.append(table)
    return Group(*drawn)


def _watch(one: Client, looks: list[_Look], *, as_json: bool) -> None:
    with one.watching(*(look.job for look in looks)) as watching:
        if on_terminal() and not as_json:
            redraw(watching, lambda _: _picture(looks))
            return
        shown: dict[_Look, int] = {}
        with interruptible():
            while True:
                undecided = False
                for look in looks:
                    now = look.job.status()
                    undecided = undecided or not now.phase.terminal
                    if shown.get(look) != now.seq:
                        shown[look] = now.seq
                        _once([look], as_json=as_json)
                if not undecided:
                    return
                watching.wait()


def _picture(looks: list[_Look]) -> Picture:
    seen = [look.facts() for look in looks]
    return Picture(
        _drawn(block for _, block in seen),
        ticking=any(now.active for now, _ in seen),
        last=all(now.phase.terminal for now, _ in seen),
    )
