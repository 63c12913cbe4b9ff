"""When to try again: pure."""

from __future__ import annotations

import math
import random
from typing import Final

__all__ = ["MAX_TRIES", "pause"]

MAX_TRIES: Final = 12
_FIRST = 0.25
_LONGEST = 300.0
_SHORTEST_SHARE = 0.5
#: With the jitter far below a day: the store takes a longer wait for a clock that was moved.
_LONGEST_WISH = 43200.0 - _LONGEST


def pause(tries: int, wished: float | None = None, chance: random.Random | None = None) -> float:
    """Seconds to wait after try number TRIES (from 1): doubled from try to try, with jitter, at most five minutes.

    WISHED is what the sink asked for (a Retry-After): never earlier than that, or than almost twelve hours if it
    asked for more; what is no number of seconds counts as no wish. The jitter, up to half, keeps many senders from
    coming back to a sink in step.
    """
    longest = min(_LONGEST, _FIRST * 2.0 ** min(tries - 1, 32))
    share = (chance or random).uniform(_SHORTEST_SHARE, 1.0)
    if wished is None or not math.isfinite(wished) or wished < 0:
        return longest * share
    wished = min(wished, _LONGEST_WISH)
    # What they were all told alike is spread as well.
    return wished + min(longest, wished) * (share - _SHORTEST_SHARE)
