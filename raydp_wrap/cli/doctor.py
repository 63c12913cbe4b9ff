"""``raydp-wrap doctor``: one line for each thing that was looked at."""

from __future__ import annotations

import json

import click

from raydp_wrap import plugins
from raydp_wrap.cli.messages import show
from raydp_wrap.doctor import checks
from raydp_wrap.errors import RaydpWrapError


@click.command(epilog="The exit code is 0 if all is well, else 1.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(*, as_json: bool) -> int:
    """See whether all is well here. Each line that is NOT OK says what to do."""
    found = checks()
    if as_json:
        lines = [json.dumps([{"name": one.name, "ok": one.ok, "text": one.text} for one in found], indent=2)]
    else:
        names = [plugins.printable(one.name) for one in found]
        width = max(map(len, names))
        lines = [
            f"{'ok    ' if one.ok else 'NOT OK'}  {name.ljust(width)}  {plugins.printable(one.text)}"
            for one, name in zip(found, names, strict=True)
        ]
    if not show(lines):
        return RaydpWrapError.exit_code
    return 0 if all(one.ok for one in found) else 1
