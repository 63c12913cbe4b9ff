"""Descriptors that a shell has opened for a command's argument."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["named_descriptors"]

_DESCRIPTOR = re.compile(r"/(?:dev|proc/self)/fd/([0-9]{1,7})")
_STANDARD = 2


def named_descriptors(command: Iterable[str]) -> tuple[int, ...]:
    """The inherited descriptors that COMMAND names: a shell's ``<(…)`` is /dev/fd/63 and an open 63.

    Ours are all closed on exec, so one that isn't was given to us for the command.
    """
    found = set()
    for argument in command:
        for number in map(int, _DESCRIPTOR.findall(argument)):
            try:
                if number > _STANDARD and os.get_inheritable(number):
                    found.add(number)
            except OSError:
                continue  # not open: the command will say so
    return tuple(sorted(found))
