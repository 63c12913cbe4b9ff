"""The supervisor of a home on this machine, put together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raydp_wrap.supervisor.at_home import AtHome
from raydp_wrap.supervisor.loop import Supervisor
from raydp_wrap.supervisor.preparing import Preparations

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from raydp_wrap.store import Store

__all__ = ["make"]


def make(store: Store, home: Path, tell: Callable[[str], None]) -> Supervisor:
    """The supervisor of HOME, whose lock the caller holds; TELL is given sentences for the operator.

    Raises:
        RaydpWrapError: it can't supervise; the sentence says why.

    """
    world = AtHome(store, home, tell)
    preparations = Preparations(store.preparations, world.backend("local"), home / "environments", tell=tell)
    return Supervisor(store.jobs, world, preparations=preparations)
