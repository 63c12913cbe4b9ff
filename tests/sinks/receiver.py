"""A web server on a raw socket that answers what a test has it answer, and keeps what it was sent."""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

    from typing_extensions import Self

DEADLINE = 30


@dataclass
class Request:
    line: str
    headers: dict[str, str]
    body: bytes


def reply(status: int, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"HTTP/1.1 {status} whatever", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


class Receiver:
    """Answers each connection by the next of ANSWERS (the last for ever): bytes, or what is called with the socket."""

    def __init__(self, *answers: bytes | Callable[[socket.socket], object], tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Request] = []
        self.leave = threading.Event()
        self._answers = list(answers)
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.leave.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(DEADLINE)
        self._listener.close()
        assert not self._thread.is_alive()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # the listener was shut down
            while True:
                connection, _ = self._listener.accept()
                with connection, contextlib.suppress(OSError):
                    connection.settimeout(DEADLINE)
                    self._converse(connection)

    def _converse(self, connection: socket.socket) -> None:
        spoken = self._tls.wrap_socket(connection, server_side=True) if self._tls else connection
        with spoken:
            with spoken.makefile("rb") as stream:
                line = stream.readline().decode("latin-1").strip()
                if not line:
                    return
                headers = {}
                while (header := stream.readline().decode("latin-1").strip()) != "":
                    name, _, value = header.partition(":")
                    headers[name.lower()] = value.strip()
                self.requests.append(Request(line, headers, stream.read(int(headers.get("content-length", "0")))))
            answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
            if callable(answer):
                answer(spoken)
            else:
                spoken.sendall(answer)

    def hang(self, _: socket.socket) -> None:
        self.leave.wait(DEADLINE)

    def trickle(self, head: bytes, drop: bytes) -> Callable[[socket.socket], None]:
        """HEAD, then DROP again and again, each long before a socket's own timeout, until nobody listens."""

        def send(connection: socket.socket) -> None:
            connection.sendall(head)
            while not self.leave.wait(0.02):
                connection.sendall(drop)

        return send


@contextlib.contextmanager
def flood(head: bytes, piece: bytes, most: int) -> Iterator[tuple[Callable[[socket.socket], None], list[int]]]:
    """An answer of HEAD and up to MOST bytes more; the list holds how many the other side let through."""
    sent = [0]

    def send(connection: socket.socket) -> None:
        connection.sendall(head)
        while sent[0] < most:
            sent[0] += connection.send(piece)

    yield send, sent
