"""Arguments as the user gave them: the bytes that the launcher can't hand on are put back."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["restored"]

_DOUBTFUL = re.compile(rb"[?\x80-\xff]+")


def restored(command: Sequence[bytes], given: Sequence[bytes]) -> list[bytes]:
    """COMMAND, its tail replaced by that of GIVEN as far back as both agree.

    The launcher ends the command with the application and its arguments unchanged, but a JVM reads and
    writes text: bytes that are not in the locale's encoding come back as ``?`` or U+FFFD, and it drops a
    carriage return at the end. So two arguments agree if they are the same except for such characters.
    """
    words = list(command)
    for back in range(1, min(len(command), len(given)) + 1):
        if _sketch(command[-back]) != _sketch(given[-back]):
            break
        words[-back] = given[-back]
    return words


def _sketch(word: bytes) -> bytes:
    return _DOUBTFUL.sub(b"?", word.replace(b"\r", b""))
