"""The drop-in faces: ``raydp-submit`` and ``raydp-wrap spark-submit``. No options of their own."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from raydp_wrap import plugins
from raydp_wrap.cli.messages import explain, report_error
from raydp_wrap.errors import RaydpWrapError
from raydp_wrap.foreground import Policy, run
from raydp_wrap.outcome import exit_status

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["raydp_submit", "submit"]


def submit(tool: str, argv: Sequence[str]) -> int:
    """Run TOOL's command line under a guard, in the foreground; its exit code."""
    launch = plugins.build_launch(tool, argv, os.environ)
    outcome = run(launch, Policy(name=tool))
    explain(outcome)
    return exit_status(outcome)


def raydp_submit() -> int:
    """``raydp-submit``: the console script."""
    try:
        return submit("raydp-submit", sys.argv[1:])
    except RaydpWrapError as error:
        return report_error(error)
