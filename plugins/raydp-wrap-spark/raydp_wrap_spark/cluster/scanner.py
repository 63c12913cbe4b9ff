"""What a submitter's log says of what it has submitted to a cluster."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["STANDALONE", "YARN", "Heard", "Scanner", "Words"]

# By spark.deploy.driverIdPattern a master may call its drivers something else than "driver-…".
_ID = rb"[A-Za-z0-9_][\w.-]{0,200}(?<![.-])"
_YARN_ID = rb"application_\d{1,20}_\d{1,20}\b"
# What a line has to say stands near its beginning; a line without an end must not fill the memory.
_LONGEST = 8192


@dataclass(frozen=True, slots=True)
class Words:
    """What a kind of submitter says: the application's name there, by gateway, and its name and its state."""

    named: Mapping[str, re.Pattern[bytes]]
    state: re.Pattern[bytes]


STANDALONE = Words(
    {
        "rest": re.compile(rb"Submission successfully created as (" + _ID + rb")"),
        "rpc": re.compile(rb"Driver successfully submitted as (" + _ID + rb")"),
    },
    re.compile(rb"State of (?:driver )?(" + _ID + rb") is (?:now )?([A-Z]{1,30})\b"),
)
# "Submitting" is Spark's own: one that is killed before Hadoop's client says "Submitted" may have submitted it.
YARN = Words(
    {"yarn": re.compile(rb"(?:Submitt(?:ing|ed) application|Application report for) (" + _YARN_ID + rb")")},
    re.compile(rb"Application report for (" + _YARN_ID + rb") \(state: ([A-Z_]{1,30})\)"),
)


@dataclass(frozen=True, slots=True)
class Heard:
    """The cluster's name for the application, the gateway it was submitted through, and its last known state.

    A standalone master's gateways are ``rest`` and ``rpc``, and the name is its driver's id.
    """

    app: str
    gateway: str
    state: str = ""


class Scanner:
    """Reads a log piece by piece. ``heard`` is what it has said so far, None before it named an application.

    An id that stands in ARGV is not believed: a verbose submitter repeats its arguments, and these may say anything.
    """

    def __init__(self, argv: Sequence[str] = (), words: Words = STANDALONE) -> None:
        self.heard: Heard | None = None
        self._argv = argv
        self._words = words
        self._line = bytearray()

    def feed(self, piece: bytes) -> bool:
        """Read on; whether ``heard`` has changed."""
        before = self.heard
        *lines, rest = piece.split(b"\n")
        for line in lines:
            self._read(bytes(self._line + line[:_LONGEST]))
            self._line.clear()
        self._line += rest[: max(0, _LONGEST - len(self._line))]
        return self.heard != before

    def end(self) -> bool:
        """Read the last line, which has no end; whether ``heard`` has changed."""
        return self.feed(b"\n")

    def _read(self, line: bytes) -> None:
        for gateway, pattern in self._words.named.items():
            found = pattern.search(line)
            # The REST gateway's answer is logged, too, and has the other one's words in it.
            if found and not (self.heard and self.heard.app == found[1].decode("ascii", "replace")):
                app = found[1].decode("ascii", "replace")
                if not any(app in word for word in self._argv):
                    self.heard = Heard(app, gateway)
        state = self._words.state.search(line)
        if state and self.heard and state[1].decode("ascii", "replace") == self.heard.app:
            self.heard = Heard(self.heard.app, self.heard.gateway, state[2].decode())
