"""What a submitter's log says of the driver it has submitted to a standalone master."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Heard", "Scanner"]

# By spark.deploy.driverIdPattern a master may call its drivers something else than "driver-…".
_ID = rb"[A-Za-z0-9_][\w.-]{0,200}(?<![.-])"
_BY_REST = re.compile(rb"Submission successfully created as (" + _ID + rb")")
_BY_RPC = re.compile(rb"Driver successfully submitted as (" + _ID + rb")")
_STATE = re.compile(rb"State of (?:driver )?(" + _ID + rb") is (?:now )?([A-Z]{1,30})\b")
# What a line has to say stands near its beginning; a line without an end must not fill the memory.
_LONGEST = 8192


@dataclass(frozen=True, slots=True)
class Heard:
    """The driver's id, through which gateway it was submitted (``rest`` or ``rpc``), and its last known state."""

    driver: str
    gateway: str
    state: str = ""


class Scanner:
    """Reads a log piece by piece. ``heard`` is what it has said so far, None before it named a driver.

    An id that stands in ARGV is not believed: a verbose submitter repeats its arguments, and these may say anything.
    """

    def __init__(self, argv: Sequence[str] = ()) -> None:
        self.heard: Heard | None = None
        self._argv = argv
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
        for pattern, gateway in ((_BY_REST, "rest"), (_BY_RPC, "rpc")):
            found = pattern.search(line)
            # The REST gateway's answer is logged, too, and has the other one's words in it.
            if found and not (self.heard and self.heard.driver == found[1].decode("ascii", "replace")):
                driver = found[1].decode("ascii", "replace")
                if not any(driver in word for word in self._argv):
                    self.heard = Heard(driver, gateway)
        state = _STATE.search(line)
        if state and self.heard and state[1].decode("ascii", "replace") == self.heard.driver:
            self.heard = Heard(self.heard.driver, self.heard.gateway, state[2].decode())
