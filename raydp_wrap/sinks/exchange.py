"""One HTTP request and what its answer means, bounded in time and memory whatever the other side does."""

from __future__ import annotations

import http.client
import io
import ssl
import time
import urllib.error
import urllib.request
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from raydp_wrap.backend import Answer, Verdict
from raydp_wrap.sinks.shown import address, hidden, printable

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["post", "seconds_of"]

_LONGEST_WAIT = 3600.0
_TEXT = 200
_READ = 4 * _TEXT
# Timeout, too early, too many requests: the request was right, its time was not.
_LATER = (408, 425, 429)
_DUPLICATE = 409


class _Timed(io.RawIOBase):
    """What comes from a socket until DEADLINE: a byte a second resets a socket's own timeout for ever."""

    def __init__(self, connected: socket.socket, deadline: float) -> None:
        self._socket = connected
        self._deadline = deadline
        self._raw = connected.makefile("rb", buffering=0)  # keeps the socket open behind http.client's close()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._socket.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


def _connecting(kind: type[http.client.HTTPConnection], deadline: float) -> Callable[..., http.client.HTTPConnection]:
    class Response(http.client.HTTPResponse):
        def __init__(self, connected: socket.socket, *args: Any, **options: Any) -> None:
            super().__init__(connected, *args, **options)
            timed = io.BufferedReader(_Timed(connected, deadline))
            self.fp.close()
            self.fp = timed  # type: ignore[assignment]

    def connect(host: str, **options: Any) -> http.client.HTTPConnection:
        connection = kind(host, **options)
        connection.response_class = Response
        return connection

    return connect


class _Timely(urllib.request.AbstractHTTPHandler):
    """Both schemes, for a proxy may want another than the URL; certificates are loaded for who needs them."""

    http_request = https_request = urllib.request.AbstractHTTPHandler.do_request_

    def __init__(self, deadline: float) -> None:
        super().__init__()
        self._deadline = deadline

    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_connecting(http.client.HTTPConnection, self._deadline), request)

    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        connect = _connecting(http.client.HTTPSConnection, self._deadline)
        return self.do_open(connect, request, context=ssl.create_default_context())


def _opener(deadline: float) -> urllib.request.OpenerDirector:
    # Put together by hand: the usual one follows redirects, and opens file: and ftp: where it is led to.
    opener = urllib.request.OpenerDirector()
    for handler in (urllib.request.ProxyHandler(), _Timely(deadline)):
        opener.add_handler(handler)
    return opener


def post(url: str, body: bytes, headers: Mapping[str, str], *, seconds: float, secrets: Iterable[str] = ()) -> Answer:
    """POST BODY to URL, and judge the answer. SECRETS are kept out of its text, should the answer echo them.

    SECONDS bound the request and its answer; looking up the name, and trying each of its addresses, are bounded
    by what the system and SECONDS allow each.
    """
    request = urllib.request.Request(url, body, dict(headers), method="POST")  # noqa: S310 - no other scheme gets here
    try:
        with _opener(time.monotonic() + seconds).open(request, timeout=seconds) as response:
            return _judge(response, secrets)
    except urllib.error.URLError as error:
        return Answer(Verdict.RETRY_AFTER, _why(error.reason))
    except OSError as error:
        return Answer(Verdict.RETRY_AFTER, _why(error))
    except http.client.HTTPException as error:
        return Answer(Verdict.RETRY_AFTER, f"what it answered is not HTTP ({type(error).__name__})")
    except ValueError as error:  # a proxy's address, which may hold a password: not quoted
        return Answer(Verdict.RETRY_AFTER, f"it can't be asked ({type(error).__name__}): see the proxy's settings")


def _why(error: object) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return printable(f"its certificate is not trusted: {error.verify_message}", _TEXT)
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    text = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return printable(text, _TEXT) or type(error).__name__


def _judge(response: http.client.HTTPResponse, secrets: Iterable[str]) -> Answer:
    status = response.status
    if 200 <= status < 300:  # noqa: PLR2004 - the class of successes
        return Answer(Verdict.ACCEPTED)  # whatever becomes of its body
    if status == _DUPLICATE:
        return Answer(Verdict.DUPLICATE)
    if status in _LATER or not 300 <= status < 500:  # noqa: PLR2004 - neither a redirect nor our fault
        wait = seconds_of(response.headers.get("Retry-After", ""), time.time())
        return Answer(Verdict.RETRY_AFTER, f"it answered {status}", wait)
    if status < 400:  # noqa: PLR2004 - a redirect
        target = address(response.headers.get("Location", ""))
        return Answer(Verdict.REJECTED, printable(f"it answered {status} and points to {target}: name that"))
    text = hidden(_beginning(response).decode("utf-8", "replace"), secrets)
    shown = printable(text, _TEXT)
    return Answer(Verdict.REJECTED, f"it answered {status}" + (f": {shown}" if shown else ""))


def _beginning(response: http.client.HTTPResponse) -> bytes:
    found = b""
    try:
        while piece := response.read1(_READ - len(found)):
            found += piece
    except (OSError, http.client.HTTPException, ValueError):
        pass  # cut off, late, or garbage: the status has said what counts
    return found


def seconds_of(text: str, now: float) -> float | None:
    """What ``Retry-After: TEXT`` asks for, as seconds from NOW: at most an hour; None if it says nothing."""
    text = text.strip()
    try:
        if text.isascii() and text.isdigit():
            wait = float(text)
        else:
            at = parsedate_to_datetime(text)
            if at.tzinfo is None:  # "-0000": it does not say where
                return None
            wait = at.timestamp() - now
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return min(max(wait, 0.0), _LONGEST_WAIT)
