"""Where state lives: ``$RAYDP_WRAP_HOME``, else ``$XDG_STATE_HOME/raydp-wrap``, 0700."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from raydp_wrap.errors import UsageError
from raydp_wrap.process import private_directory

__all__ = ["home"]


def home() -> Path:
    """The state directory, created if missing.

    Without a wish of the user's and with no writable home (a read-only container), one below the
    temporary directory serves: a job is worth more than the place of its record.

    Raises:
        UsageError: ``RAYDP_WRAP_HOME`` can't be used, or nothing can.

    """
    wish = os.environ.get("RAYDP_WRAP_HOME")
    if wish:
        try:
            return private_directory(Path(wish))
        except OSError as error:
            message = f"RAYDP_WRAP_HOME={wish} can't be used ({error.strerror}): name a directory you can write to."
            raise UsageError(message) from error
    from platformdirs import user_state_path  # noqa: PLC0415 - only where the environment doesn't say

    fallback = Path(tempfile.gettempdir()) / f"raydp-wrap-{os.geteuid()}"
    for path in (user_state_path("raydp-wrap", appauthor=False), fallback):
        try:
            found = private_directory(path)
            if os.access(found, os.W_OK | os.X_OK):
                return found
        except (OSError, UsageError):
            continue
    raise UsageError(f"neither a home directory nor {fallback} can be written to: set RAYDP_WRAP_HOME.")
