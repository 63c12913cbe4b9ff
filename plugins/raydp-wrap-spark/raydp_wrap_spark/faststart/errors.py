"""Why a JVM is started without an archive."""

from __future__ import annotations

__all__ = ["UnfitError"]


class UnfitError(Exception):
    """A command that can't be served; the message is a clause for ``raydp-wrap doctor``, and never shown by a run."""
