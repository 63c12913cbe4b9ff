"""Values as people write them on a command line."""

from __future__ import annotations

import re
import signal
import time
from datetime import datetime
from typing import TYPE_CHECKING

import click

from raydp_wrap.errors import UsageError
from raydp_wrap.settings import duration

__all__ = ["Amount", "Duration", "EnvironmentEntry", "Past", "SignalNumber", "Size", "TagFilter"]

_SIZE = re.compile(r"(\d{1,15}(?:\.\d{0,9})?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_KIB = 1024

if TYPE_CHECKING:
    _Seconds = click.ParamType[float]
    _Number = click.ParamType[int]
    _Entry = click.ParamType[tuple[str, str]]
    _Amount = click.ParamType[tuple[str, float]]
    _Filter = click.ParamType[tuple[str, str | None]]
else:  # generic since click 8.4 only
    _Seconds = _Number = _Entry = _Amount = _Filter = click.ParamType


class Duration(_Seconds):
    """Seconds, or a number with ms, s, m, h or d."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds as a float."""
        if isinstance(value, float):
            return value
        try:
            return duration(str(value))
        except UsageError as error:
            self.fail(str(error), param, ctx)


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


class TagFilter(_Filter):
    """NAME=VALUE, or NAME for any value."""

    name = "NAME[=VALUE]"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str | None]:
        """The name, and the value; None is any."""
        if isinstance(value, tuple):
            return value
        name, equals, text = str(value).partition("=")
        if not name:
            self.fail(f"{value!r} is neither NAME=VALUE nor NAME.", param, ctx)
        return name, text if equals else None


class Amount(_Amount):
    """NAME=NUMBER."""

    name = "NAME=NUMBER"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, float]:
        """The name and the number."""
        if isinstance(value, tuple):
            return value
        name, _, text = str(value).partition("=")
        try:
            number = float(text)
        except ValueError:
            number = -1.0
        if not name or not 0 <= number < float("inf"):
            self.fail(f"{value!r} is not NAME=NUMBER.", param, ctx)
        return name, number


class Size(_Number):
    """Bytes, or a number with k, m, g or t."""

    name = "size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Bytes; k is 1024 of them, and so on."""
        if isinstance(value, int):
            return value
        match = _SIZE.fullmatch(str(value).strip())
        if match is None:
            self.fail(f"{value!r} is not a size: write 1048576, 512k, 100m or 2g.", param, ctx)
        return int(float(match[1]) * _KIB ** _POWERS[match[2].lower()])


class Past(_Seconds):
    """A point in time: so long ago, or as RFC 3339 has it."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds since the epoch."""
        if isinstance(value, float):
            return value
        text = str(value).strip()
        try:
            return time.time() - duration(text)
        except UsageError:
            pass
        try:
            # 3.10 knows no "Z". What names no zone is in ours.
            return datetime.fromisoformat(re.sub("[zZ]$", "+00:00", text)).timestamp()
        except (ValueError, OverflowError, OSError):
            self.fail(f"{value!r} is no point in time: write 10m (ago) or 2026-11-22T14:00:00Z.", param, ctx)
