"""What no text of ours may hold."""

from __future__ import annotations

import unicodedata

REORDERING = {chr(code) for code in (0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))}
_CATEGORIES = ("Cc", "Cs", "Zl", "Zp")


def unsafe(text: str) -> set[str]:
    return {c for c in text if c not in "\n\t" and (unicodedata.category(c) in _CATEGORIES or c in REORDERING)}
