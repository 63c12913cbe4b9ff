"""An outcome that the store could not take, kept in its run's directory: it goes before the exit record there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from raydp_wrap import notes
from raydp_wrap.outcome import from_dict, to_dict

if TYPE_CHECKING:
    from pathlib import Path

    from raydp_wrap.model import Outcome

__all__ = ["keep", "kept"]

_NAME = "outcome.json"
_LARGEST = 4 << 20


def keep(directory: Path, outcome: Outcome) -> bool:
    """Write OUTCOME there, durably and as a whole; False: it can't be."""
    return notes.write(directory, _NAME, json.dumps(to_dict(outcome)).encode())


def kept(directory: Path, submission_id: str) -> Outcome | None:
    """What :meth:`keep` wrote for SUBMISSION_ID, None if there is nothing of the kind."""
    data = notes.read(directory, _NAME, _LARGEST)
    if data is None:
        return None
    try:
        outcome = from_dict(json.loads(data))
    except (ValueError, KeyError, TypeError):
        return None
    return outcome if outcome.submission_id == submission_id else None
