"""The supervisor of a home, put together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raydp_wrap.supervisor.at_home import AtHome
from raydp_wrap.supervisor.loop import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from raydp_wrap.store import Store

__all__ = ["make"]


def make(store: Store, home: Path, tell: Callable[[str], None]) -> Supervisor:
    """A supervisor of HOME, whose STORE is; TELL is given what the operator should know."""
    return Supervisor(store.jobs, AtHome(store, home, tell))
