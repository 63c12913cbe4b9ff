"""How the background process tells the operator: on its stderr, which is its log."""

from __future__ import annotations

import contextlib
import sys
import time

__all__ = ["to_stderr"]


def to_stderr(text: str) -> None:
    """Write a line, with the time in front."""
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with contextlib.suppress(OSError, ValueError):
        print(f"{at} {text}", file=sys.stderr, flush=True)  # noqa: T201 - its log
