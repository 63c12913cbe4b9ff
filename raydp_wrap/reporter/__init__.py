"""Tell the sinks: at least once each, whatever they do."""

from __future__ import annotations

from raydp_wrap.reporter.conclude import Concluded, conclude, report, sentence
from raydp_wrap.reporter.reporter import Reporter, Told

__all__ = ["Concluded", "Reporter", "Told", "conclude", "report", "sentence"]
