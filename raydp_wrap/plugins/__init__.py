"""Plugins: found by entry point, loaded once, called one by one. A broken one breaks nothing else."""

from __future__ import annotations

from raydp_wrap.plugins.calls import Result, each, in_use, installed, load
from raydp_wrap.plugins.hooks import (
    backends,
    brought,
    build_launch,
    checks,
    commands,
    edit_launch,
    event,
    evidence,
    sinks,
    stop_remote,
)
from raydp_wrap.plugins.limited import abandoned, call
from raydp_wrap.plugins.makers import Brought, asked
from raydp_wrap.plugins.registry import Plugin, Registry, State
from raydp_wrap.plugins.watches import Watches
from raydp_wrap.plugins.words import printable

__all__ = [
    "Brought",
    "Plugin",
    "Registry",
    "Result",
    "State",
    "Watches",
    "abandoned",
    "asked",
    "backends",
    "brought",
    "build_launch",
    "call",
    "checks",
    "commands",
    "each",
    "edit_launch",
    "event",
    "evidence",
    "in_use",
    "installed",
    "load",
    "printable",
    "sinks",
    "stop_remote",
]
