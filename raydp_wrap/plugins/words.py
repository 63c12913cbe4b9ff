"""How plugins' faults are told: one line each, whatever stands in it."""

from __future__ import annotations

import sys

from raydp_wrap.errors import RaydpWrapError

__all__ = ["printable", "said", "warn"]

_LONGEST = 500


def printable(text: str) -> str:
    """TEXT without anything that a terminal would act on, in one line."""
    from raydp_wrap.diagnostics.text import one_line  # noqa: PLC0415 - where there is something to say

    return one_line(text)


def said(error: BaseException) -> str:
    """What ERROR says, within bounds. Its own methods may fail as everything else of a plugin's."""
    try:
        text = str(error) if isinstance(error, RaydpWrapError) else repr(error)
    except BaseException:  # noqa: BLE001 - SystemExit too
        text = ""
    text = text if isinstance(text, str) and text else type(error).__name__
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def warn(sentence: str) -> None:
    """One line on stderr; a stderr that is closed or full hears nothing."""
    try:
        if sys.stderr is not None:
            print(f"raydp-wrap: {printable(sentence)}", file=sys.stderr, flush=True)  # noqa: T201
    except (OSError, ValueError):
        pass
