"""``raydp-wrap plugins``: what is loaded, from where, what it brings; and what is not, and why."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import click

from raydp_wrap import sinks
from raydp_wrap.cli.messages import show
from raydp_wrap.errors import RaydpWrapError
from raydp_wrap.hookspecs import API
from raydp_wrap.plugins import State, brought, installed, printable

if TYPE_CHECKING:
    from raydp_wrap.plugins import Plugin

_BRINGS = {"sinks": "raydp_wrap_sinks", "backends": "raydp_wrap_backends", "commands": "raydp_wrap_commands"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def plugins(*, as_json: bool) -> int:
    """List the installed plugins. Told are what each brings, and why one is not loaded.

    RAYDP_WRAP_PLUGINS picks them by name (spark,ray), leaves some out (-spark,-ray), or all (none).
    """
    from raydp_wrap.cli.app import BUILT_IN  # noqa: PLC0415 - which imports this one

    registry = installed()
    registry.problems.clear()  # all of it is in the list
    problems = [*registry.broken, *registry.missing]
    taken = {"sinks": sinks.schemes(), "commands": BUILT_IN}
    names: dict[str, dict[str, list[str]]] = {plugin.name: {} for plugin in registry.plugins}
    for word, hook in _BRINGS.items():
        for name, one in brought(hook, problems.append, taken=taken.get(word, ())).items():
            names[one.plugin].setdefault(word, []).append(name)
    rows = [_row(plugin, names[plugin.name]) for plugin in registry.plugins]
    if as_json:
        lines = [json.dumps({"api": API, "plugins": rows, "problems": problems}, indent=2)]
    else:
        lines = [printable(line) for line in (*_table(rows), *(f"problem: {problem}" for problem in problems))]
    return 0 if show(lines) else RaydpWrapError.exit_code


def _row(plugin: Plugin, names: dict[str, list[str]]) -> dict[str, Any]:
    distribution, version = _distribution(plugin)
    return {
        "name": plugin.name,
        "state": plugin.state.value,
        "why": plugin.problem or None,
        "distribution": distribution,
        "version": version,
        "object": plugin.entry.value,
        "file": plugin.file,
        "hooks": list(plugin.hooks),
        **{word: sorted(names.get(word, ())) if plugin.state is State.LOADED else [] for word in _BRINGS},
    }


def _distribution(plugin: Plugin) -> tuple[str, str | None]:
    """Name and number of what brings PLUGIN; from its directory's name, where its metadata is broken."""
    from importlib.metadata import Distribution  # noqa: PLC0415 - 30 ms, and only this command needs it

    stem, _, number = os.path.basename(plugin.entry.metadata).rpartition(".")[0].partition("-")
    try:
        metadata = (plugin.entry.distribution or Distribution.at(plugin.entry.metadata)).metadata
        return metadata["Name"] or stem, metadata["Version"] or number or None
    except Exception:  # noqa: BLE001 - metadata is anybody's
        return stem, number or None


def _table(rows: list[dict[str, Any]]) -> list[str]:
    if not rows:
        return ["no plugin is installed: pip install raydp-wrap-spark brings spark-submit and raydp-submit"]
    cells = [("NAME", "STATE", "DISTRIBUTION", "FILE")]
    cells += [
        (row["name"], row["state"], f"{row['distribution']} {row['version'] or ''}".strip(), row["file"] or "-")
        for row in rows
    ]
    cells = [(printable(a), b, printable(c), printable(d)) for a, b, c, d in cells]
    widths = [max(len(line[column]) for line in cells) for column in range(4)]
    head, *lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells
    ]
    table = [head]
    for row, line in zip(rows, lines, strict=True):
        table.append(line)
        table += [f"    {word}: {', '.join(row[word])}" for word in ("hooks", *_BRINGS) if row[word]]
        if row["why"]:
            table.append(f"    why: {row['why']}")
    return table
