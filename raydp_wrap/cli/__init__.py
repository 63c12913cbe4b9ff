"""The command line. The drop-in path (``spark-submit``) is chosen before click is imported."""

from __future__ import annotations

import sys

from raydp_wrap import __version__

TYPE_CHECKING = False  # the typing module costs as much as the rest of --version
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """``raydp-wrap``: run it on ARGV (default: the process's), and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments == ["--version"] and sys.stdout is not None:
        try:
            print("raydp-wrap", __version__, flush=True)  # noqa: T201
        except OSError:
            pass  # said below, as for everything else that can't be printed
        else:
            return 0
    from raydp_wrap.cli.entry import enter  # noqa: PLC0415 - not for --version

    return enter(lambda: _main(arguments), last=argv is None)


def _main(arguments: list[str]) -> int:
    if arguments and arguments[0] == "spark-submit":
        from raydp_wrap.cli.submit import submit  # noqa: PLC0415

        return submit("spark-submit", arguments[1:])
    from raydp_wrap.cli.app import main as app  # noqa: PLC0415 - click costs 40 ms

    return app(arguments)
