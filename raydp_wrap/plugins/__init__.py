"""Plugins: found by entry point, loaded once, called one by one. A broken one breaks nothing else."""

from __future__ import annotations

from raydp_wrap.plugins.calls import Result, each, load
from raydp_wrap.plugins.hooks import (
    backends,
    build_launch,
    checks,
    commands,
    edit_launch,
    event,
    evidence,
    sinks,
)
from raydp_wrap.plugins.registry import Plugin, Registry, State
from raydp_wrap.plugins.words import printable

__all__ = [
    "Plugin",
    "Registry",
    "Result",
    "State",
    "backends",
    "build_launch",
    "checks",
    "commands",
    "each",
    "edit_launch",
    "event",
    "evidence",
    "load",
    "printable",
    "sinks",
]
