"""The wrapper's own settings where it has no options: RAYDP_WRAP_* variables, and a launch's settings."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from raydp_wrap import sinks
from raydp_wrap.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "DEFAULT_GRACE",
    "DEFAULT_REPORT_TIMEOUT",
    "duration",
    "grace",
    "report_timeout",
    "seconds",
    "setting",
    "sink_texts",
    "switch",
]

DEFAULT_REPORT_TIMEOUT: Final = 5.0
DEFAULT_GRACE: Final = 10.0
_LONGEST = 10 * 365 * 86400.0
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SWITCH = {word: on for on, words in ((True, "on true yes 1"), (False, "off false no 0")) for word in words.split()}
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(ms|s|m|h|d)?")


def duration(text: str) -> float:
    """Seconds: a number, or one with ms, s, m, h or d.

    Raises:
        UsageError: TEXT is no duration, or a longer one than ten years.

    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text!r} is not a duration: write 30, 30s, 500ms, 5m, 2h or 1d.")
    length = float(match[1]) * _UNITS[match[2] or "s"]
    if length > _LONGEST:
        raise UsageError(f"{text!r} is more than ten years: leave the option out to wait for ever.")
    return length


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


def seconds(name: str, environment: Mapping[str, str], settings: Mapping[str, str], default: float) -> float:
    """The setting NAME, in seconds.

    Raises:
        UsageError: it is no duration.

    """
    found = setting(name, environment, settings)
    if found is None:
        return default
    try:
        return duration(found[0])
    except UsageError as error:
        raise UsageError(f"{found[1]}: {error}") from error


def switch(name: str, environment: Mapping[str, str], settings: Mapping[str, str], *, default: bool) -> bool:
    """The setting NAME, ``on`` or ``off`` (or true, false, yes, no, 1, 0).

    Raises:
        UsageError: it is neither.

    """
    found = setting(name, environment, settings)
    if found is None:
        return default
    word = found[0].strip().lower()
    if word not in _SWITCH:
        raise UsageError(f"{found[1]}: {found[0]!r} is neither on nor off: write one of these.")
    return _SWITCH[word]


def report_timeout(environment: Mapping[str, str], settings: Mapping[str, str]) -> float:
    """How many seconds the foreground's end may wait for sinks, by ``report.timeout``. Raises as :func:`seconds`."""
    return seconds("report.timeout", environment, settings, DEFAULT_REPORT_TIMEOUT)


def grace(environment: Mapping[str, str], settings: Mapping[str, str]) -> float:
    """How many seconds lie between the stop signal and SIGKILL, by ``grace``. Raises as :func:`seconds`."""
    return seconds("grace", environment, settings, DEFAULT_GRACE)


def sink_texts(environment: Mapping[str, str], settings: Mapping[str, str], schemes: Iterable[str]) -> list[str]:
    """The sinks of the command line's own settings (separated by commas or lines) and of the variable (one a line)."""
    named = sinks.split(settings.get("sinks", ""), schemes)
    return [*named, *sinks.split(environment.get("RAYDP_WRAP_SINKS", ""))]
