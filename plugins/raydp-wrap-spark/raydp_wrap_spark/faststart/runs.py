"""What the hook that is told of a run's end must know of its beginning, which another hook saw."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from raydp_wrap_spark.faststart.archive import Plan
    from raydp_wrap_spark.faststart.cache import Cache

__all__ = ["Begun", "begin", "take"]


@dataclass(frozen=True, slots=True)
class Begun:
    """A command that was built here: its archive, in use or missing; ENV is the driver's, LIMIT the cache's size.

    It runs in ``directory``.
    """

    cache: Cache
    plan: Plan
    env: Mapping[str, str]
    limit: int
    uses: bool
    directory: str = field(default_factory=os.getcwd)


# The process that builds a command runs it, and one at a time: a list of one is enough.
_begun: list[Begun] = []


def begin(run: Begun) -> None:
    """Remember RUN until its end."""
    _begun[:] = [run]


def take() -> Begun | None:
    """The last run that began here, once."""
    return _begun.pop() if _begun else None
