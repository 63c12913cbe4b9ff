"""Rows in columns: plain when piped, rich on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.table import Table
    from rich.text import Text

__all__ = ["fitted", "phase_text", "plain", "rich_table"]

_COLOURS = {
    "RUNNING": "cyan",
    "RETRYING": "yellow",
    "SUSPENDING": "magenta",
    "SUSPENDED": "magenta",
    "FINISHED": "green",
    "FAILED": "red",
    "KILLED": "red",
}
_GAP = 2
# Where a terminal is narrow these are cut, to so many characters at least.
_CUT = {"COMMAND": 12, "TAGS": 10, "NAME": 10}
# If that is not enough these are left out, one after the other.
_LEFT_OUT = ("PRIORITY", "TAGS", "REASON", "ATTEMPTS", "COMMAND", "ELAPSED", "AGE", "NAME")


def plain(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """HEAD and ROWS as aligned lines."""
    lines = [tuple(head), *map(tuple, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]


def fitted(head: Sequence[str], rows: Iterable[Sequence[str]], width: int) -> dict[str, int]:
    """Which columns of HEAD fit into WIDTH characters, and how wide each may be: the id is never cut."""
    cells = [tuple(head), *map(tuple, rows)]
    widths = {title: max(len(line[column]) for line in cells) for column, title in enumerate(head)}

    def spare() -> int:
        return width - sum(widths.values()) - _GAP * (len(widths) - 1)

    wanted = dict(widths)
    for title, least in _CUT.items():
        if title in widths:
            widths[title] = max(min(widths[title], least), widths[title] + min(0, spare()))
    for title in _LEFT_OUT:
        if spare() < 0:
            widths.pop(title, None)
    for title in reversed(_CUT):
        if title in widths:
            widths[title] += min(max(0, spare()), wanted[title] - widths[title])
    return widths


def rich_table(head: Sequence[str], rows: Iterable[Sequence[str]], width: int) -> Table:
    """The same for a terminal of WIDTH characters."""
    from rich.table import Table  # noqa: PLC0415 - for terminals only

    lines = [tuple(row) for row in rows]
    widths = fitted(head, lines, width)
    table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="bold")
    for title, room in widths.items():
        table.add_column(title, no_wrap=True, overflow="ellipsis", width=room)
    for line in lines:
        table.add_row(*(phase_text(cell) for title, cell in zip(head, line, strict=True) if title in widths))
    return table


def phase_text(cell: str) -> Text:
    """CELL as it is, in its colour if it is a phase."""
    from rich.text import Text  # noqa: PLC0415 - for terminals only

    return Text(cell, style=_COLOURS.get(cell, ""))
