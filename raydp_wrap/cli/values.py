"""Values as people write them on a command line."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import click

from raydp_wrap.errors import UsageError
from raydp_wrap.settings import duration

__all__ = ["Duration", "EnvironmentEntry", "SignalNumber"]

if TYPE_CHECKING:
    _Seconds = click.ParamType[float]
    _Number = click.ParamType[int]
    _Entry = click.ParamType[tuple[str, str]]
else:  # generic since click 8.4 only
    _Seconds = _Number = _Entry = click.ParamType


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
