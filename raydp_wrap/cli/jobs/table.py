"""Rows in columns: plain when piped, rich on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.table import Table
    from rich.text import Text

__all__ = ["phase_text", "plain", "rich_table"]

_COLOURS = {
    "RUNNING": "cyan",
    "RETRYING": "yellow",
    "SUSPENDING": "magenta",
    "SUSPENDED": "magenta",
    "FINISHED": "green",
    "FAILED": "red",
    "KILLED": "red",
}
# What is cut where the terminal is narrow, to so many characters at least: what is left of others would say nothing.
_CUT = {"NAME": 20, "TAGS": 10, "COMMAND": 10}


def plain(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """HEAD and ROWS as aligned lines."""
    lines = [tuple(head), *map(tuple, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]


def rich_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """The same for a terminal: what doesn't fit is cut, and ids never are."""
    from rich.table import Table  # noqa: PLC0415 - for terminals only

    lines = [tuple(row) for row in rows]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column, title in enumerate(head):
        width = max(len(title), *(len(line[column]) for line in lines)) if lines else len(title)
        table.add_column(title, no_wrap=True, overflow="ellipsis", min_width=min(width, _CUT.get(title, width)))
    for line in lines:
        table.add_row(*map(phase_text, line))
    return table


def phase_text(cell: str) -> Text:
    """CELL as it is, in its colour if it is a phase."""
    from rich.text import Text  # noqa: PLC0415 - for terminals only

    return Text(cell, style=_COLOURS.get(cell, ""))
