"""A process that sends what is due in a home's outbox."""

from __future__ import annotations

from pathlib import Path

from raydp_wrap import sinks
from raydp_wrap.errors import RaydpWrapError
from raydp_wrap.reporter.reporter import Reporter
from raydp_wrap.store import Store
from raydp_wrap.supervisor.telling import to_stderr

__all__ = ["main"]

_PATIENCE = 60.0


def main(home: str) -> None:
    """Send the reports of HOME that are due, for a minute at most; what is given up stays so."""
    try:
        with Store(Path(home)) as store:
            Reporter(store, lambda text: sinks.make(text, to_stderr)).deliver((), _PATIENCE, more=True)
    except RaydpWrapError as error:
        to_stderr(str(error))
