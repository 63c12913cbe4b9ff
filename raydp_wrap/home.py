"""Where state lives: ``$RAYDP_WRAP_HOME``, else ``$XDG_STATE_HOME/raydp-wrap``, 0700."""

from __future__ import annotations

import errno
import os
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
            return _usable(private_directory(_named(Path(wish))))
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            message = f"RAYDP_WRAP_HOME={wish} can't be used ({why}): name a directory you can write to."
            raise UsageError(message) from error
    refused = ""
    for find in (_of_user, _below_temporary):
        try:
            return _usable(private_directory(_named(find())))
        except (OSError, ValueError, UsageError) as error:
            refused = f" ({error.strerror if isinstance(error, OSError) else error})"
    raise UsageError(f"neither the home directory nor the temporary one can be used{refused}: set RAYDP_WRAP_HOME.")


def _of_user() -> Path:
    from platformdirs import user_state_path  # noqa: PLC0415 - only where the environment doesn't say

    try:
        path = user_state_path("raydp-wrap", appauthor=False)
    except RuntimeError as error:  # what platformdirs raises, for a uid that no passwd knows
        raise UsageError(str(error)) from error
    if not path.is_absolute():  # and what it returned before: "~/…", for a directory named "~"
        raise UsageError("nobody knows this user's home directory")
    return path


def _below_temporary() -> Path:
    import tempfile  # noqa: PLC0415 - 15 ms, for who has no home

    return Path(tempfile.gettempdir()) / f"raydp-wrap-{os.geteuid()}"


def _named(path: Path) -> Path:
    """PATH, if it is one that SQLite can be given."""
    try:
        os.path.abspath(path).encode()
    except UnicodeEncodeError as error:
        raise ValueError("its name is not UTF-8") from error
    return path


def _usable(path: Path) -> Path:
    if not os.access(path, os.W_OK | os.X_OK):
        number = errno.EROFS if os.statvfs(path).f_flag & os.ST_RDONLY else errno.EACCES
        raise OSError(number, os.strerror(number))
    return path
