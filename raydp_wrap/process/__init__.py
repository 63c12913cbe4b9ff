"""Processes: start, wait, stop, and hold a whole tree. The only door to the C core."""

from __future__ import annotations

from raydp_wrap.process.guard import Guard, News, Phase, Told
from raydp_wrap.process.incoming import IncomingSignals, Received
from raydp_wrap.process.many import ProcessSet
from raydp_wrap.process.parent import die_with
from raydp_wrap.process.private import private_directory
from raydp_wrap.process.probe import Capabilities, probe
from raydp_wrap.process.record import parse as parse_record
from raydp_wrap.process.record import read as read_record
from raydp_wrap.process.sockets import Peer, SocketDirectory, peer
from raydp_wrap.process.spawn import DEVNULL, PIPE, STDOUT, Process
from raydp_wrap.process.sweep import is_held, sweep

__all__ = [
    "DEVNULL",
    "PIPE",
    "STDOUT",
    "Capabilities",
    "Guard",
    "IncomingSignals",
    "News",
    "Peer",
    "Phase",
    "Process",
    "ProcessSet",
    "Received",
    "SocketDirectory",
    "Told",
    "die_with",
    "is_held",
    "parse_record",
    "peer",
    "private_directory",
    "probe",
    "read_record",
    "sweep",
]
