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
_WHOLE = ("ID", "PHASE", "EXIT")  # columns that say nothing when they are cut


def plain(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """HEAD and ROWS as aligned lines."""
    lines = [tuple(head), *map(tuple, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]


def rich_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """The same for a terminal: what doesn't fit is cut, and ids never are."""
    from rich.table import Table  # noqa: PLC0415 - for terminals only

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in head:
        table.add_column(title, no_wrap=True, overflow="fold" if title in _WHOLE else "ellipsis")
        if title in _WHOLE:
            table.columns[-1].min_width = len(title)
    widest = dict.fromkeys(_WHOLE, 0)
    for row in rows:
        for title, cell in zip(head, row, strict=True):
            if title in widest:
                widest[title] = max(widest[title], len(cell))
        table.add_row(*map(phase_text, row))
    for column, title in zip(table.columns, head, strict=True):
        if title in widest:
            column.min_width = max(len(title), widest[title])
    return table


def phase_text(cell: str) -> Text:
    """CELL as it is, in its colour if it is a phase."""
    from rich.text import Text  # noqa: PLC0415 - for terminals only

    return Text(cell, style=_COLOURS.get(cell, ""))
