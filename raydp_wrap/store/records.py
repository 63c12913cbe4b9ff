"""What is in a row, and what it is in the model. Documents keep what this version does not know."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from raydp_wrap import checks
from raydp_wrap.errors import StoreError, UsageError
from raydp_wrap.model import Submission

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from raydp_wrap.model import Outcome

__all__ = ["check_id", "dump", "outcome_of", "pack", "readable", "sinks_of", "submission_of", "unpack"]

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def check_id(submission_id: str) -> None:
    """Names of directories and keys are made of it. Raises UsageError."""
    checks.text("a submission id", submission_id)
    if not _ID.fullmatch(submission_id):
        raise UsageError(
            f"{submission_id[:100]!r} can't be a submission id: use up to 100 letters, digits and . - _, no mark first."
        )


def pack(text: str) -> bytes:
    """TEXT as a blob: whatever it holds comes back."""
    return text.encode("utf-8", "surrogatepass")


def unpack(data: bytes) -> str:
    """The text that :func:`pack` made DATA of."""
    return data.decode("utf-8", "surrogatepass")


def readable(text: str, limit: int) -> str:
    """TEXT as SQLite can hold it, at most LIMIT characters."""
    return text[:limit].encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")[:limit]


def dump(document: Mapping[str, Any]) -> str:
    """The document as JSON, in ASCII: lone surrogates are escaped, and come back."""
    return json.dumps(document, separators=(",", ":"))


def submission_of(row: Sequence[Any]) -> Submission:
    """From submission_id, name, created_at, app_id, document."""
    submission_id, name, created_at, app_id, text = row
    document = json.loads(text)
    return Submission(
        submission_id=submission_id,
        name=document.get("name", name),
        created_at=created_at,
        sinks=tuple(document.get("sinks", ())),
        tags=dict(document.get("tags", {})),
        app_id=app_id,
    )


def sinks_of(text: str) -> list[str]:
    """The sinks that a submission's document names, each once."""
    return list(dict.fromkeys(json.loads(text).get("sinks", ())))


def outcome_of(text: str, app_id: str | None) -> Outcome:
    """The outcome in its document, with the app id that is known by now.

    Raises:
        StoreError: it is not what this version understands.

    """
    from raydp_wrap.outcome import from_dict  # noqa: PLC0415 - a first submission has none to read

    try:
        return from_dict({**json.loads(text), "app_id": app_id})
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(
            f"an outcome in the store can't be understood ({error!r}): a newer raydp-wrap has written it, use that one."
        ) from error
