"""A driver that nobody started: this very process (a notebook, a script), whose outcome is told all the same."""

from __future__ import annotations

from raydp_wrap.tracking.tracked import Tracked, track

__all__ = ["Tracked", "track"]
