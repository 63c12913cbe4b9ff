"""What users ask for, as the conditions of a statement on ``jobs`` and ``submissions``: words, and their values."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from raydp_wrap.store.records import readable

if TYPE_CHECKING:
    from raydp_wrap.request import Phase

__all__ = ["most", "selection", "tries"]

Words = tuple[str, tuple[Any, ...]]

_LAST = re.compile(r"@last(?:-([0-9]{1,9}))?")
_LONGEST_NAME = 1000
_MOST = 2**62  # SQLite's numbers have an end


def most(limit: int | None) -> int:
    """LIMIT as SQLite has it."""
    return -1 if limit is None else max(0, min(limit, _MOST))


def tries(word: str, limit: int | None) -> list[Words]:
    """What WORD may mean, each to be tried where those before it find nothing; at most LIMIT of each."""
    last = _LAST.fullmatch(word)
    if last is not None:
        return [("ORDER BY place DESC LIMIT 1 OFFSET ?", (int(last[1] or 0),))]
    if not word:
        return []
    text = readable(word, _LONGEST_NAME)
    end = f"{text}\x7f"  # an id's characters all come before it
    return [
        ("WHERE submission_id = ?", (text,)),
        ("WHERE submission_id >= ? AND submission_id < ? ORDER BY place DESC LIMIT ?", (text, end, most(limit))),
        ("WHERE jobs.name = ? AND jobs.name <> '' ORDER BY place DESC LIMIT ?", (text, most(limit))),
    ]


def selection(
    phases: tuple[Phase, ...], tags: tuple[tuple[str, str | None], ...], name: str | None, since_seq: int
) -> Words:
    """All of these at once; what is empty chooses nothing out."""
    words: list[str] = []
    values: list[Any] = []
    if phases:
        # Of several phases with many jobs the index has them out of order; one after the other they are in it.
        column = "+phase" if len(phases) > 1 and any(phase.terminal for phase in phases) else "phase"
        words.append(f"{column} IN ({', '.join('?' * len(phases))})")
        values += [phase.value for phase in phases]
    for key, value in tags:
        which = "json_each.key = ?" if value is None else "json_each.key = ? AND json_each.value = ?"
        words.append(f"EXISTS (SELECT 1 FROM json_each(document, '$.tags') WHERE {which})")  # noqa: S608 - our own words
        values += [readable(one, len(one)) for one in (key, value) if one is not None]
    if name is not None:
        words.append("jobs.name = ? AND jobs.name <> ''" if name else "jobs.name = ?")
        values.append(readable(name, _LONGEST_NAME))
    if since_seq:
        words.append("jobs.seq > ?")
        values.append(since_seq)
    return (f"WHERE {' AND '.join(words)}" if words else ""), tuple(values)
