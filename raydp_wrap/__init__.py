"""raydp_wrap: starts a job's driver, owns its whole process tree, and says exactly once how it ended."""

from __future__ import annotations

import sys

if not sys.platform.startswith("linux"):
    raise ImportError("raydp_wrap runs on Linux only: it owns processes by pidfd, subreaper and signalfd.")

__version__ = "0.1.0"
__all__ = ["__version__"]
