"""One HTTP request with a deadline for all of it: no proxies, no redirects, a bounded body."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from raydp_wrap_spark.cluster.truth import TruthUnknownError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from raydp_wrap_spark.cluster.clock import Deadline

__all__ = ["Reply", "request"]

_LARGEST = 8 << 20
_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """Return the object in the body.

        Raises:
            TruthUnknownError: there is none.

        """
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise TruthUnknownError(f"it answered with status {self.status} and something else than a JSON object")
        return found


def request(
    method: str, url: str, deadline: Deadline, *, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> Reply:
    """Ask URL, and return the answer whatever its status.

    Raises:
        TruthUnknownError: there is no whole answer before DEADLINE, or it is longer than 8 MiB.

    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise TruthUnknownError(f"{url!r} is no address") from error
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(host, port, timeout=max(0.001, deadline.left()))
    target = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
    try:
        connection.connect()
        # A socket's own timeout begins anew with every byte; this ends the whole.
        timer = threading.Timer(deadline.left(), _cut, [connection.sock])
        timer.daemon = True
        timer.start()
        try:
            connection.request(method, target, body=body, headers={"Accept": "application/json", **(headers or {})})
            answer = connection.getresponse()
            data = _whole(answer)
            if not deadline.left():  # where no length is given, an answer that was cut looks whole
                raise TruthUnknownError("it did not answer in time")
        finally:
            timer.cancel()
    except (OSError, ValueError, http.client.HTTPException) as error:
        if not deadline.left():
            raise TruthUnknownError("it did not answer in time") from error
        raise TruthUnknownError(f"it can't be asked: {_text(error)}") from error
    finally:
        connection.close()
    return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, data)


def _whole(answer: http.client.HTTPResponse) -> bytes:
    data = bytearray()
    while piece := answer.read1(_CHUNK):
        data += piece
        if len(data) > _LARGEST:
            raise TruthUnknownError(f"its answer is longer than {_LARGEST} bytes")
    if answer.length:
        raise TruthUnknownError("its answer ended early")
    return bytes(data)


def _cut(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def _text(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
