"""The sinks of the core, ``file:``, ``webhook:`` and ``exec:``, and how any sink is named."""

from __future__ import annotations

from raydp_wrap.sinks.naming import NamedSink, canonical, is_core, make, parse, schemes, split
from raydp_wrap.sinks.shown import printable, redacted

__all__ = ["NamedSink", "canonical", "is_core", "make", "parse", "printable", "redacted", "schemes", "split"]
