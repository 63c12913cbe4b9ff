"""The wrapper's own settings where it has no options: RAYDP_WRAP_* variables, and a launch's settings."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from raydp_wrap.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["LONGEST", "duration", "setting"]

LONGEST: Final = 10 * 365 * 86400.0
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(ms|s|m|h|d)?")


def duration(text: str) -> float:
    """Seconds: a number, or one with ms, s, m, h or d.

    Raises:
        UsageError: TEXT is no duration, or a longer one than ten years.

    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text!r} is not a duration: write 30, 30s, 500ms, 5m, 2h or 1d.")
    seconds = float(match[1]) * _UNITS[match[2] or "s"]
    if seconds > LONGEST:
        raise UsageError(f"{text!r} is more than ten years: leave it out to wait for ever.")
    return seconds


def setting(name: str, environment: Mapping[str, str], settings: Mapping[str, str]) -> tuple[str, str] | None:
    """The setting NAME (as in ``report.timeout``) and where it stands; None where it is not set, or empty.

    The command line's own (``--conf spark.raydp.wrap.report.timeout``) goes before the variable
    (``RAYDP_WRAP_REPORT_TIMEOUT``).
    """
    variable = f"RAYDP_WRAP_{name.upper().replace('.', '_')}"
    for where, text in ((f"spark.raydp.wrap.{name}", settings.get(name)), (variable, environment.get(variable))):
        if text:
            return text, where
    return None
