"""A point in time that several steps share."""

from __future__ import annotations

import time

__all__ = ["Deadline"]


class Deadline:
    """SECONDS from its making."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    def left(self, most: float | None = None) -> float:
        """Seconds that are left, never negative, and no more than MOST."""
        left = max(0.0, self._at - time.monotonic())
        return left if most is None else min(left, most)

    def share(self, among: int) -> Deadline:
        """Return the deadline of the first of AMONG steps that are to have the same time."""
        return Deadline(self.left() / max(1, among))

    def pause(self, seconds: float) -> bool:
        """Wait SECONDS before another question is put; False where there would be no time left for it."""
        if self.left() <= seconds:
            return False
        time.sleep(seconds)
        return True
