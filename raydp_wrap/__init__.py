"""raydp_wrap: starts a job's driver, owns its whole process tree, and says exactly once how it ended."""

from __future__ import annotations

import sys

if not sys.platform.startswith("linux"):
    raise ImportError("raydp_wrap runs on Linux only: it owns processes by pidfd, subreaper and signalfd.")

__version__ = "0.1.0"
__all__ = ["Client", "Job", "Tracked", "__version__", "run", "submit", "track"]

TYPE_CHECKING = False  # typing's own costs 10 ms, and type checkers know this one as well
if TYPE_CHECKING:
    from raydp_wrap.client import Client, Job, run, submit
    from raydp_wrap.tracking import Tracked, track


def __getattr__(name: str) -> object:
    # Lazily: `raydp-wrap --version` needs none of it.
    if name in ("Tracked", "track"):
        from raydp_wrap import tracking  # noqa: PLC0415

        return getattr(tracking, name)
    if name in ("Client", "Job", "run", "submit"):
        from raydp_wrap import client  # noqa: PLC0415

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
