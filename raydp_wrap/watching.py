"""What the watches over an attempt have saved, in its run's directory: for whoever decides in a dead owner's place."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from raydp_wrap import notes, plugins
from raydp_wrap.outcome import from_record, is_cut_short

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from raydp_wrap.model import ExitRecord, Outcome, Submission

__all__ = ["judge", "keep", "kept"]

_NAME = "watches.json"
_LARGEST = 1 << 20


def keep(directory: Path, saved: Mapping[str, Mapping[str, Any]]) -> bool:
    """Write SAVED, which is by plugin; False: it can't be."""
    return notes.write(directory, _NAME, json.dumps(saved).encode())


def kept(directory: Path) -> dict[str, dict[str, Any]]:
    """What :func:`keep` wrote; nothing where there is nothing of the kind."""
    data = notes.read(directory, _NAME, _LARGEST)
    try:
        found = json.loads(data) if data is not None else {}
    except (ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {plugin: saved for plugin, saved in found.items() if isinstance(saved, dict)}


def judge(
    record: ExitRecord,
    submission: Submission,
    saved: Mapping[str, Mapping[str, Any]],
    tell: Callable[[str], None],
    output: Callable[[], str] = str,
) -> Outcome:
    """Decide by RECORD and what plugins know, who have SAVED this.

    What of a job that was cut short runs elsewhere is ended first. OUTPUT has the driver's last lines, and is asked
    where it is no success.
    """
    if is_cut_short(record):
        plugins.stop_remote(submission, record, tell, saved=saved)
    more = plugins.evidence(submission, record, tell, saved=saved)
    return from_record(record, submission, more=more, output=output)
