"""The plugin's hooks, and nothing else: what is behind them is imported when it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raydp_wrap.hookspecs import hookimpl

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import click
    from raydp_wrap.backend import Sink

#: The plugin API this was written for: an older raydp-wrap says so, instead of failing somewhere.
RAYDP_WRAP_API = 1


@hookimpl
def raydp_wrap_sinks() -> Mapping[str, Callable[[str], Sink]]:
    """``--sink jsonl:PATH``."""
    return {"jsonl": _jsonl}


@hookimpl
def raydp_wrap_commands() -> Mapping[str, Callable[[], click.Command]]:
    """``raydp-wrap tally PATH``."""
    return {"tally": _tally}


def _jsonl(text: str) -> Sink:
    from raydp_wrap_example.jsonl import Jsonl

    return Jsonl(text)


def _tally() -> click.Command:
    from raydp_wrap_example.tally import tally

    return tally
