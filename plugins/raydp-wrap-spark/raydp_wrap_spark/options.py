"""What raydp-submit must know of spark-submit's options: which of them decide the master."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Options"]

_INFORMATION = frozenset({"--help", "-h", "--version"})
_LOAD_DEFAULTS = "--load-spark-defaults"
# Every other option takes a value.
_SWITCHES = _INFORMATION | {_LOAD_DEFAULTS, "--supervise", "--usage-error", "--verbose", "-v"}
_WITH_VALUE = re.compile(r"(--[^=]+)=(.+)", re.DOTALL)


class Options:
    """The options in front of the application; nothing of the application's own arguments counts."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._given = list(_given(argv))

    @property
    def master(self) -> str | None:
        """The last ``--master``, else the last ``--conf spark.master=…``, else None."""
        masters = self._all("--master")
        return masters[-1] if masters else self.confs.get("spark.master")

    @property
    def confs(self) -> dict[str, str]:
        """Every ``--conf NAME=VALUE``; of one name the last."""
        pairs = (conf.partition("=") for conf in self._all("--conf", "-c"))
        return {name.strip(): value.strip() for name, _, value in pairs}

    @property
    def properties_file(self) -> str | None:
        """The last ``--properties-file``, or None."""
        files = self._all("--properties-file")
        return files[-1] if files else None

    @property
    def loads_defaults(self) -> bool:
        """Whether spark-defaults.conf is read besides a ``--properties-file``."""
        return any(name == _LOAD_DEFAULTS for name, _ in self._given)

    @property
    def wants_no_master(self) -> bool:
        """Whether only information is asked for: ``--help`` or ``--version``."""
        return any(name in _INFORMATION for name, _ in self._given)

    def _all(self, *names: str) -> list[str]:
        return [value for name, value in self._given if name in names]


def _given(argv: Sequence[str]) -> Iterator[tuple[str, str]]:
    words = iter(argv)
    for word in words:
        if not word.startswith("-"):
            return
        if word in _SWITCHES:
            yield word, ""
        elif match := _WITH_VALUE.fullmatch(word):
            yield match[1], match[2]
        else:
            yield word, next(words, "")
