"""A web server that checks nothing, and keeps what it was sent."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Self

__all__ = ["HttpReceiver", "Request"]


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came. Header names are in lower case; ``status`` is what was answered."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    status: int


class HttpReceiver:
    """Listens on 127.0.0.1 as long as it is entered, and answers POST requests.

    A report's first request is answered with 204 and applied, a later one with 409. While ``status`` is set every
    request is answered with that, and nothing is applied. May be used from any thread.
    """

    def __init__(self) -> None:
        self.status: int | None = None
        self.requests: list[Request] = []
        self._applied: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 30

            def do_POST(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                body = self.rfile.read(int(headers.get("content-length", 0)))
                self.send_response(receiver._take(self.path, headers, body))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's names
                """Keep quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_port}/"

    def received(self) -> list[tuple[str | None, dict[str, Any]]]:
        """What was applied, in order: each report's key and outcome."""
        with self._lock:
            return list(self._applied.items())

    def _take(self, path: str, headers: Mapping[str, str], body: bytes) -> int:
        key = unquote(headers.get("idempotency-key", ""))
        with self._lock:
            status = self.status
            if status is None:
                status = 409 if key in self._applied else 204
                self._applied.setdefault(key, json.loads(body))
            self.requests.append(Request(path, headers, body, status))
        return status

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(30)
