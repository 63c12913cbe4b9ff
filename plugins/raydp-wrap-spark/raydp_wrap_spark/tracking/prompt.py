"""Whether a person types this program as it runs: an error is then not the end of it."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["at_prompt", "in_kernel", "kernel_shuts_down"]


def at_prompt() -> bool:
    """In a notebook, in IPython, or at Python's own prompt."""
    return hasattr(sys, "ps1") or _shell() is not None


def in_kernel() -> bool:
    """In a notebook's kernel."""
    return getattr(_shell(), "kernel", None) is not None


def kernel_shuts_down() -> bool:
    """In one that was asked to end, and has begun to."""
    # ipykernel 6 and 7 have no public word for it.
    return getattr(getattr(_shell(), "kernel", None), "_shutdown_message", None) is not None


def _shell() -> Any:
    ipython = sys.modules.get("IPython")
    return None if ipython is None else ipython.get_ipython()
