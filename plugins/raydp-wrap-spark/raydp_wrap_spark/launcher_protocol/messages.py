"""What is said on a launcher connection, and our own side of it as bytes."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from enum import Enum

__all__ = ["HEADER", "MESSAGE", "STOP", "AppState", "Hello", "Message", "SetAppId", "SetState", "Stop", "stop_request"]

#: What each direction begins with: the magic number and version of Java's serialization.
HEADER = bytes.fromhex("aced0005")
MESSAGE = ("org.apache.spark.launcher.LauncherProtocol$Message", -5003164482046097355)
STOP = ("org.apache.spark.launcher.LauncherProtocol$Stop", 1730868999917216513)


class AppState(Enum):
    """``SparkAppHandle.State``."""

    UNKNOWN = "UNKNOWN"
    CONNECTED = "CONNECTED"
    SUBMITTED = "SUBMITTED"
    RUNNING = "RUNNING"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    KILLED = "KILLED"
    LOST = "LOST"

    @property
    def final(self) -> bool:
        """Whether no other state of the same SparkContext follows."""
        return self in (AppState.FINISHED, AppState.FAILED, AppState.KILLED, AppState.LOST)


@dataclass(frozen=True, slots=True)
class Hello:
    """The driver's first message. The secret shows that it is ours."""

    secret: str = field(repr=False)
    spark_version: str


@dataclass(frozen=True, slots=True)
class SetAppId:
    """The cluster has given the application this id."""

    app_id: str


@dataclass(frozen=True, slots=True)
class SetState:
    """The application's state, as its driver sees it."""

    state: AppState


@dataclass(frozen=True, slots=True)
class Stop:
    """What a launcher says to the driver."""


Message = Hello | SetAppId | SetState | Stop


def stop_request() -> bytes:
    """The whole of our side: the stream's header, and one Stop."""
    return HEADER + b"\x73" + _class(*STOP) + _class(*MESSAGE) + b"\x70"


def _class(name: str, uid: int) -> bytes:
    # TC_CLASSDESC, its name and uid, SC_SERIALIZABLE, no fields, TC_ENDBLOCKDATA; what follows is its super class.
    encoded = name.encode()
    return b"\x72" + struct.pack(">H", len(encoded)) + encoded + struct.pack(">q", uid) + b"\x02\0\0\x78"
