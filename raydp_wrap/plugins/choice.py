"""``RAYDP_WRAP_PLUGINS``: which of the installed plugins are wanted."""

from __future__ import annotations

from typing import NamedTuple

from raydp_wrap.errors import UsageError

__all__ = ["VARIABLE", "Choice", "parse"]

VARIABLE = "RAYDP_WRAP_PLUGINS"
_NONE = "none"


class Choice(NamedTuple):
    """The plugins of these NAMES only or, with BLOCKS, all others."""

    names: frozenset[str]
    blocks: bool

    def admits(self, name: str) -> bool:
        """Whether the plugin NAME is wanted."""
        return (name in self.names) is not self.blocks


def parse(text: str) -> Choice:
    """What TEXT says: ``spark,ray`` picks, ``-spark,-ray`` blocks, ``none`` is none, nothing is all.

    Raises:
        UsageError: it picks and blocks at once.

    """
    words = [word for word in map(str.strip, text.split(",")) if word]
    if words == [_NONE]:
        return Choice(frozenset(), blocks=False)
    blocked = [word.startswith("-") for word in words]
    if (any(blocked) and not all(blocked)) or _NONE in words or "-" in words:
        raise UsageError(
            f"{VARIABLE}={text} can't be obeyed: name the plugins to load (spark,ray), or those to leave out "
            "(-spark,-ray), or write none."
        )
    return Choice(frozenset(word.removeprefix("-") for word in words), blocks=not words or blocked[0])
