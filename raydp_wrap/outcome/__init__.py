"""From evidence to outcome: pure functions, no clock, no I/O."""

from __future__ import annotations

from raydp_wrap.outcome.decide import decide, exit_status
from raydp_wrap.outcome.document import from_dict, to_dict
from raydp_wrap.outcome.evidence import evidence_of, is_cut_short, remarks_of, signal_name
from raydp_wrap.outcome.reasons import REASONS, Fault, Meaning
from raydp_wrap.outcome.verdicts import from_record, never_started, without_record

__all__ = [
    "REASONS",
    "Fault",
    "Meaning",
    "decide",
    "evidence_of",
    "exit_status",
    "from_dict",
    "from_record",
    "is_cut_short",
    "never_started",
    "remarks_of",
    "signal_name",
    "to_dict",
    "without_record",
]
