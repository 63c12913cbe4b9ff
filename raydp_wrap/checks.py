"""Whether a value is of the kind that is asked for: for callers that may give anything. All raise UsageError."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

from raydp_wrap.errors import UsageError

__all__ = ["LONGEST", "MOST", "amounts", "instance", "number", "pairs", "passable", "text", "texts", "truth", "whole"]

#: Seconds: no longer time is asked for.
LONGEST: Final = 1e9
#: No more of anything: a float still holds its thousandths.
MOST: Final = 10**15

_SHOWN = 10**18
_LONGEST_NAME = 100


def _refused(what: str, value: object, give: str) -> UsageError:
    if isinstance(value, int | float) and not isinstance(value, bool):
        # An int of a million digits has no text.
        shown = str(value) if isinstance(value, float) or abs(value) < _SHOWN else "so large"
    else:
        shown = f"of type {type(value).__name__}"
    return UsageError(f"{what} can't be {shown}: give {give}.")


def number(what: str, value: object, least: float, most: float, give: str) -> None:
    """VALUE is a finite number from LEAST to MOST."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise _refused(what, value, give)


def whole(what: str, value: object, least: int, most: int, give: str) -> None:
    """VALUE is a whole number from LEAST to MOST, and no bool."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise _refused(what, value, give)


def truth(what: str, value: object) -> None:
    """VALUE is a bool."""
    if not isinstance(value, bool):
        raise _refused(what, value, "True or False")


def text(what: str, value: object) -> None:
    """VALUE is a str."""
    if not isinstance(value, str):
        raise _refused(what, value, "a text")


def texts(what: str, value: object) -> None:
    """VALUE is a tuple or list of str."""
    if not isinstance(value, tuple | list):
        raise _refused(what, value, "a list of texts")
    for one in value:
        text(f"a word of {what}", one)


def pairs(what: str, value: object) -> None:
    """VALUE is a mapping of str to str."""
    if not isinstance(value, Mapping):
        raise _refused(what, value, "names and texts, as a dict")
    for key, one in value.items():
        text(f"a name in {what}", key)
        text(f"what a name in {what} stands for", one)


def amounts(slots: object) -> None:
    """SLOTS are amounts of resources, from 0 to :data:`MOST`, by name."""
    if not isinstance(slots, Mapping):
        raise _refused("the slots", slots, "names and amounts, as a dict")
    for name, amount in slots.items():
        text("a slot's name", name)
        if not name:
            raise UsageError("a slot can't have no name: give NAME=N.")
        what = name if name in ("cpus", "memory") else f"the slot {name[:_LONGEST_NAME]!r}"
        number(what, amount, 0, MOST, "0 to 1e15")


def passable(what: str, *words: str) -> None:
    """WORDS can be handed to a process: no NUL, and no half of a character but what stands for a byte."""
    for word in words:
        if "\0" in word:
            raise UsageError(f"a NUL can't be in {what}: leave it out.")
        try:
            os.fsencode(word)
        except UnicodeEncodeError:
            raise UsageError(f"half a character (a lone surrogate) can't be in {what}: leave it out.") from None


def instance(what: str, value: Any, kind: type[Any] | tuple[type[Any], ...], give: str) -> None:
    """VALUE is a KIND."""
    if not isinstance(value, kind):
        raise _refused(what, value, give)
