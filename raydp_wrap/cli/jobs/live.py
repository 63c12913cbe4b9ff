"""What a person watches: drawn again when something has changed, and once a second where a clock runs in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from raydp_wrap.cli.jobs.interrupts import interruptible
from raydp_wrap.cli.jobs.printing import console

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType

    from raydp_wrap.client.access import Watching

__all__ = ["Picture", "redraw"]

_TICK = 1.0


class Picture(NamedTuple):
    """What is to be seen; whether time goes on in it; whether nothing more will change."""

    shown: RenderableType
    ticking: bool
    last: bool


def redraw(watching: Watching, look: Callable[[int], Picture]) -> None:
    """Show what LOOK makes for a terminal's width until that is the last.

    Raises:
        KeyboardInterrupt: by Ctrl-C; the terminal is as it was.

    """
    from rich.live import Live  # noqa: PLC0415 - for terminals only

    with interruptible(), Live(console=console(), auto_refresh=False) as live:
        while True:
            picture = look(live.console.width)
            live.update(picture.shown, refresh=True)
            if picture.last:
                return
            watching.wait(_TICK if picture.ticking else None)
