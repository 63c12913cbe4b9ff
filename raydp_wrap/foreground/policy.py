"""How a submission is to be run."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Policy"]


@dataclass(frozen=True, slots=True)
class Policy:
    """How a submission is to be run. Times are seconds; ``sinks`` are told the outcome, by their texts.

    ``report_timeout`` is how long the end may wait for sinks; what they have not taken by then stays in the
    outbox. ``hand_over`` are descriptors that are the command's alone once it runs: ours become /dev/null, so
    that whoever is at their other end sees them closed as soon as the command closes them. ``keep_ignored``:
    HUP, INT and QUIT that are ignored here stay so, for the command and for us, as in a command called directly;
    otherwise INT and QUIT do on a terminal only.
    """

    name: str = ""
    grace: float = 10.0
    stop_signal: int = signal.SIGTERM
    active_deadline: float | None = None
    sinks: tuple[str, ...] = ()
    report_timeout: float = 5.0
    tags: Mapping[str, str] = field(default_factory=dict)
    hand_over: tuple[int, ...] = ()
    keep_ignored: bool = False
