"""One submission in the foreground: the command as if called directly, and its outcome."""

from __future__ import annotations

from raydp_wrap.foreground.policy import Policy
from raydp_wrap.foreground.running import run

__all__ = ["Policy", "run"]
