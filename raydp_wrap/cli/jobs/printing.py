"""Lines on stdout, one after the other as they come; and what a person sees instead, who sits at a terminal."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

from raydp_wrap.cli.messages import put
from raydp_wrap.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

__all__ = ["check_stdout", "console", "on_terminal", "print_json", "print_line"]


def on_terminal() -> bool:
    """Whether a person reads our stdout."""
    return sys.stdout is not None and os.isatty(1)


def check_stdout() -> None:
    """Raises UsageError where there is none: what is open as 1 by now is something else."""
    if sys.stdout is None:
        raise UsageError("nothing could be printed: stdout is closed.")


def print_line(text: str) -> None:
    """One line, at once, in stdout's encoding. Raises OSError as write(2), UsageError where stdout is closed."""
    check_stdout()
    put(f"{text}\n".encode(sys.stdout.encoding or "utf-8", "backslashreplace"))


def print_json(documents: Iterable[Any]) -> None:
    """Each on a line of its own. Raises as :func:`print_line`."""
    for one in documents:
        print_line(json.dumps(one))


def console() -> Console:
    """Stdout with colours, as far as it and the user want them. What it is given is shown as it is: no markup."""
    from rich.console import Console  # noqa: PLC0415 - for terminals only

    return Console(markup=False, emoji=False, highlight=False)
