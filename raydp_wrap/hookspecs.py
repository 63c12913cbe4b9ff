"""Every hook: its signature and what it is for. docs/plugins.md has a heading for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from raydp_wrap.model import Launch

PROJECT = "raydp_wrap"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec(firstresult=True)
def raydp_wrap_build_launch(tool: str, argv: Sequence[str], env: Mapping[str, str]) -> Launch | None:
    """Turn a submit tool's command line (``argv`` without the tool's name) into what to execute, or None."""
