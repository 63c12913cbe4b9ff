"""Every hook: its signature and what it is for. docs/plugins.md has a heading for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import click

    from raydp_wrap.backend import Backend, Check, Sink
    from raydp_wrap.model import Event, Evidence, ExitRecord, Launch, Submission
    from raydp_wrap.watch import Watch

PROJECT = "raydp_wrap"
#: What a plugin asks for in its module's RAYDP_WRAP_API. It grows with whatever needs a newer raydp-wrap.
API = 1
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec(firstresult=True)
def raydp_wrap_build_launch(tool: str, argv: Sequence[str], env: Mapping[str, str]) -> Launch | None:
    """Turn a submit tool's command line (``argv`` without the tool's name) into what to execute, or None."""


@hookspec
def raydp_wrap_edit_launch(submission: Submission, launch: Launch) -> Launch | None:
    """Change what is about to be executed; None leaves it as it is."""


@hookspec
def raydp_wrap_watch(submission: Submission, launch: Launch) -> Watch | None:
    """Accompany an attempt from before its start to its end, in the process that owns it."""


@hookspec
def raydp_wrap_stop_remote(submission: Submission, record: ExitRecord | None, saved: Mapping[str, Any]) -> None:
    """End what of a stopped or lost attempt runs elsewhere, beyond its process tree: a cluster's driver."""


@hookspec
def raydp_wrap_evidence(submission: Submission, record: ExitRecord, saved: Mapping[str, Any]) -> Iterable[Evidence]:
    """Add what else is known of how it ended."""


@hookspec
def raydp_wrap_event(event: Event) -> None:
    """Observe a moment of a submission's life."""


@hookspec
def raydp_wrap_sinks() -> Mapping[str, Callable[[str], Sink]]:
    """Bring sinks: by scheme, what makes one from the text behind the colon."""


@hookspec
def raydp_wrap_backends() -> Mapping[str, Callable[[], Backend]]:
    """Bring backends: by name, what makes one."""


@hookspec
def raydp_wrap_commands() -> Mapping[str, Callable[[], click.Command]]:
    """Bring commands of ``raydp-wrap``: by name, what imports and returns one."""


@hookspec
def raydp_wrap_checks() -> Iterable[Check]:
    """Say what ``raydp-wrap doctor`` should know."""
