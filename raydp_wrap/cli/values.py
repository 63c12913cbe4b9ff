"""Values as people write them on a command line."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING

import click

__all__ = ["Duration", "EnvironmentEntry", "SignalNumber"]

if TYPE_CHECKING:
    _Seconds = click.ParamType[float]
    _Number = click.ParamType[int]
    _Entry = click.ParamType[tuple[str, str]]
else:  # generic since click 8.4 only
    _Seconds = _Number = _Entry = click.ParamType

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(ms|s|m|h|d)?")
_LONGEST = 10 * 365 * 86400.0


class Duration(_Seconds):
    """Seconds, or a number with ms, s, m, h or d."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds as a float."""
        if isinstance(value, float):
            return value
        match = _DURATION.fullmatch(str(value).strip())
        if match is None:
            self.fail(f"{value!r} is not a duration: write 30, 30s, 500ms, 5m, 2h or 1d.", param, ctx)
        seconds = float(match[1]) * _UNITS[match[2] or "s"]
        if seconds > _LONGEST:
            self.fail(f"{value!r} is more than ten years: leave the option out to wait for ever.", param, ctx)
        return seconds


class SignalNumber(_Number):
    """A signal by name (with or without SIG) or number."""

    name = "signal"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The signal's number."""
        if isinstance(value, int):
            return int(value)
        text = str(value).strip().upper()
        for candidate in (text, f"SIG{text}"):
            if candidate in signal.Signals.__members__:
                return int(signal.Signals[candidate])
        if not text.isdecimal() or int(text) not in signal.valid_signals():
            known = "write a name like TERM or INT, or its number (kill -l lists them)"
            self.fail(f"{value!r} is not a signal: {known}.", param, ctx)
        return int(text)


class EnvironmentEntry(_Entry):
    """NAME=VALUE."""

    name = "NAME=VALUE"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """The name and the value."""
        if isinstance(value, tuple):
            return value
        name, equals, text = str(value).partition("=")
        if not name or not equals:
            self.fail(f"{value!r} is not NAME=VALUE.", param, ctx)
        return name, text
