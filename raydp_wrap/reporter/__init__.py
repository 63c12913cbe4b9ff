"""Tell the sinks: at least once each, whatever they do."""

from __future__ import annotations

from raydp_wrap.reporter.conclude import Concluded, conclude, report, sentence
from raydp_wrap.reporter.reporter import Interrupt, Reporter, Told

__all__ = ["Concluded", "Interrupt", "Reporter", "Told", "conclude", "report", "sentence"]
