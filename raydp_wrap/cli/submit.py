"""The drop-in faces: ``raydp-submit`` and ``raydp-wrap spark-submit``. No options of their own."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from raydp_wrap import plugins, settings, sinks
from raydp_wrap.cli.descriptors import named_descriptors
from raydp_wrap.cli.entry import enter, hold_signals, leave
from raydp_wrap.cli.messages import diagnose, say
from raydp_wrap.foreground import Policy, run

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["raydp_submit", "submit"]


def submit(tool: str, argv: Sequence[str]) -> int:
    """Run TOOL's command line under a guard, in the foreground; its exit code."""
    named = named_descriptors(argv)
    launch = plugins.build_launch(tool, argv, os.environ)
    policy = Policy(
        name=launch.name or tool,
        grace=settings.grace(os.environ, launch.settings),
        sinks=tuple(settings.sink_texts(os.environ, launch.settings, sinks.schemes(plugins.sinks(say)))),
        report_timeout=settings.report_timeout(os.environ, launch.settings),
        hand_over=(0, 1, *named),
        keep_ignored=True,
    )
    hold_signals()
    outcome = run(replace(launch, pass_fds=(*launch.pass_fds, *named)), policy, tell=say)
    return leave(outcome, diagnose, alike=True)


def raydp_submit() -> int:
    """``raydp-submit``: the console script."""
    return enter(lambda: submit("raydp-submit", sys.argv[1:]), last=True)
