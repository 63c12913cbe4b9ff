"""A strict decoder of the Java serialization stream that a Spark driver writes on its launcher connection."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from raydp_wrap_spark.launcher_protocol.messages import (
    HEADER,
    MESSAGE,
    STOP,
    AppState,
    Hello,
    SetAppId,
    SetState,
    Stop,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from raydp_wrap_spark.launcher_protocol.messages import Message

__all__ = ["LIMIT", "Decoder", "StreamError"]

#: Bytes of a whole stream. A driver's is some hundred bytes long.
LIMIT: Final = 64 << 10

_NULL, _REFERENCE, _CLASSDESC, _OBJECT, _STRING, _ENDBLOCKDATA, _ENUM = b"\x70\x71\x72\x73\x74\x78\x7e"
_BASE_HANDLE: Final = 0x7E0000
_SERIALIZABLE, _IS_ENUM = 0x02, 0x10
_TEXT, _STATE = "Ljava/lang/String;", "Lorg/apache/spark/launcher/SparkAppHandle$State;"
_PACKAGE = "org.apache.spark.launcher"


_Kind = TypeVar("_Kind")


class StreamError(ValueError):
    """These bytes are not what a Spark driver writes. The decoder is of no more use."""


class _MoreError(Exception):
    """The bytes end in the middle of a message."""


@dataclass(frozen=True, slots=True)
class _Class:
    """What a class must look like in the stream: FIELDS are pairs of name and type, in the stream's order."""

    name: str
    uid: int
    parent: str | None = None
    fields: tuple[tuple[str, str], ...] = ()
    enum: bool = False
    make: Callable[..., Message] | None = None


def _table(*classes: _Class) -> Mapping[str, _Class]:
    return {known.name: known for known in classes}


_CLASSES = _table(
    _Class(*MESSAGE),
    _Class(*STOP, MESSAGE[0], make=Stop),
    _Class(
        f"{_PACKAGE}.LauncherProtocol$Hello",
        9176922929317261517,
        MESSAGE[0],
        (("secret", _TEXT), ("sparkVersion", _TEXT)),
        make=Hello,
    ),
    _Class(
        f"{_PACKAGE}.LauncherProtocol$SetAppId", 1695274999092510280, MESSAGE[0], (("appId", _TEXT),), make=SetAppId
    ),
    _Class(
        f"{_PACKAGE}.LauncherProtocol$SetState", -1192011395149543032, MESSAGE[0], (("state", _STATE),), make=SetState
    ),
    _Class(f"{_PACKAGE}.SparkAppHandle$State", 0, "java.lang.Enum", enum=True),
    _Class("java.lang.Enum", 0, enum=True),
)
_STATES_CLASS = f"{_PACKAGE}.SparkAppHandle$State"


class Decoder:
    """One direction of one connection: bytes in, in whatever pieces, messages out. Does no I/O."""

    def __init__(self) -> None:
        self._buffer = b""
        self._at = 0
        self._seen = 0
        self._begun = False
        # What a later TC_REFERENCE may name: classes, strings and states; None for what nobody may.
        self._handles: list[_Class | str | AppState | None] = []

    def feed(self, data: bytes) -> list[Message]:
        """The messages that DATA completes.

        Raises:
            StreamError: it is no such stream, or a longer one than LIMIT.

        """
        self._seen += len(data)
        if self._seen > LIMIT:
            raise StreamError(f"more than {LIMIT} bytes")
        self._buffer += data
        found: list[Message] = []
        while self._buffer:
            handles, self._at = len(self._handles), 0
            try:
                if not self._begun:
                    self._header()
                    self._begun = True
                else:
                    found.append(self._message())
            except _MoreError:
                del self._handles[handles:]
                break
            self._buffer = self._buffer[self._at :]
        return found

    def _header(self) -> None:
        # What can't become a header is refused at once: nobody should wait for the rest of it.
        if not HEADER.startswith(self._buffer[: len(HEADER)]):
            raise StreamError("no Java serialization stream")
        self._take(len(HEADER))

    def _message(self) -> Message:
        self._expect(_OBJECT)
        known = self._class(MESSAGE[0])
        if known is None or known.make is None:
            raise StreamError("an object that is no message")
        self._handles.append(None)
        values: list[Any] = []
        for _, kind in known.fields:
            values.append(self._string() if kind == _TEXT else self._state())
        return known.make(*values)

    def _class(self, parent: str | None, only: str | None = None) -> _Class | None:
        """A class whose super class is PARENT, or ONLY that one; None where ONLY is None and there is none."""
        tag = self._byte()
        if tag == _NULL and parent is None and only is None:
            return None
        if tag == _REFERENCE:
            known = self._referred(_Class)
        elif tag == _CLASSDESC:
            known = self._description()
        else:
            raise StreamError(f"type {tag:#x} where a class was due")
        if (only is not None and known.name != only) or (only is None and known.parent != parent):
            raise StreamError(f"class {known.name} where it does not belong")
        return known

    def _description(self) -> _Class:
        name = self._text()
        known = _CLASSES.get(name)
        (uid,) = struct.unpack(">q", self._take(8))
        if known is None or uid != known.uid:
            raise StreamError("a class that is not on the list")
        self._handles.append(known)
        if self._byte() != _SERIALIZABLE | (_IS_ENUM if known.enum else 0):
            raise StreamError(f"other flags than {known.name} has")
        (fields,) = struct.unpack(">H", self._take(2))
        if fields != len(known.fields):
            raise StreamError(f"other fields than {known.name} has")
        for field, kind in known.fields:
            self._expect(ord("L"))
            if self._text() != field or self._string() != kind:
                raise StreamError(f"other fields than {known.name} has")
        self._expect(_ENDBLOCKDATA)
        if known.parent is None:
            self._expect(_NULL)
        else:
            self._class(None, known.parent)
        return known

    def _string(self) -> str:
        tag = self._byte()
        if tag == _REFERENCE:
            return self._referred(str)
        if tag != _STRING:
            raise StreamError(f"type {tag:#x} where a string was due")
        text = self._text()
        self._handles.append(text)
        return text

    def _state(self) -> AppState:
        tag = self._byte()
        if tag == _REFERENCE:
            return self._referred(AppState)
        if tag != _ENUM:
            raise StreamError(f"type {tag:#x} where a state was due")
        self._class(None, _STATES_CLASS)
        handle = len(self._handles)
        self._handles.append(None)
        name = self._string()
        try:
            state = AppState(name)
        except ValueError as error:
            raise StreamError("a state that there is not") from error
        self._handles[handle] = state
        return state

    def _referred(self, kind: type[_Kind]) -> _Kind:
        (handle,) = struct.unpack(">i", self._take(4))
        index = handle - _BASE_HANDLE
        found = self._handles[index] if 0 <= index < len(self._handles) else None
        if not isinstance(found, kind):
            raise StreamError("a reference to nothing of its kind")
        return found

    def _text(self) -> str:
        (length,) = struct.unpack(">H", self._take(2))
        # Java's own UTF-8: NUL takes two bytes, and what is beyond 16 bits is a pair of surrogates.
        data = self._take(length).replace(b"\xc0\x80", b"\0")
        try:
            return data.decode("utf-8", "surrogatepass").encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError as error:
            raise StreamError("a string that is none") from error

    def _expect(self, byte: int) -> None:
        found = self._byte()
        if found != byte:
            raise StreamError(f"{found:#x} where {byte:#x} was due")

    def _byte(self) -> int:
        return self._take(1)[0]

    def _take(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._buffer):
            raise _MoreError
        taken = self._buffer[self._at : end]
        self._at = end
        return taken
