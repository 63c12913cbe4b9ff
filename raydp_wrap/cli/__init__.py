"""The command line. The drop-in path (``spark-submit``) is chosen before click is imported."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from raydp_wrap.cli.entry import enter

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """``raydp-wrap``: run it on ARGV (default: the process's), and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    return enter(lambda: _main(arguments))


def _main(arguments: list[str]) -> int:
    if arguments and arguments[0] == "spark-submit":
        from raydp_wrap.cli.submit import submit  # noqa: PLC0415

        return submit("spark-submit", arguments[1:])
    from raydp_wrap.cli.app import main as app  # noqa: PLC0415 - click costs 40 ms

    return app(arguments)
