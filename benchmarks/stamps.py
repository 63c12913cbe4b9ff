"""Moments that a child tells of: it writes its clock (CLOCK_MONOTONIC) into a pipe of ours."""

from __future__ import annotations

import os
import random

_LIFE_US = (50_000, 250_000)


def random_life() -> str:
    """Microseconds, as a child's argument: long against every poll, so that its end has no fixed phase."""
    return str(random.randint(*_LIFE_US))


class Stamps:
    """A pipe whose write end is a child's stdout."""

    def __init__(self) -> None:
        self._read, self.write = os.pipe()

    def next(self) -> int:
        """The next moment, in nanoseconds."""
        return int.from_bytes(os.read(self._read, 8), "little")
