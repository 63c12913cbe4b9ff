"""The command line's confs that say how to speak to a master; the secret ones stay in the owner's memory."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["keep", "plain_and_secret", "take"]

_NEEDED = re.compile(r"spark\.(?:authenticate(?:\..+)?|(?:network|rpc|ssl)\..+)", re.DOTALL)
# What Spark takes for a secret, too, in a name or in a value.
_SECRET = re.compile(r"secret|password|token|access.?key", re.IGNORECASE)
_kept: dict[str, dict[str, str]] = {}


def plain_and_secret(confs: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Those of CONFS that are needed: what may be written down, and what must not."""
    plain: dict[str, str] = {}
    secret: dict[str, str] = {}
    for name, value in confs.items():
        if _NEEDED.fullmatch(name):
            (secret if _SECRET.search(name) or _SECRET.search(value) else plain)[name] = value
    return plain, secret


def keep(submission_id: str, secrets: Mapping[str, str]) -> None:
    """Remember SECRETS until they are taken, or this process ends."""
    if secrets:
        _kept[submission_id] = dict(secrets)


def take(submission_id: str) -> dict[str, str]:
    """Return what was kept for SUBMISSION_ID, and forget it; nothing in another process than its owner."""
    return _kept.pop(submission_id, {})
