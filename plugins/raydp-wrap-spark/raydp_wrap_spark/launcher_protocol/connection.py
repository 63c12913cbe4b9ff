"""One accepted connection: its socket, its decoder, and how long it may take to say who it is."""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING, Final

from raydp_wrap_spark.launcher_protocol.messages import stop_request
from raydp_wrap_spark.launcher_protocol.stream import LIMIT, Decoder, StreamError

if TYPE_CHECKING:
    from raydp_wrap_spark.launcher_protocol.messages import Message

__all__ = ["Connection"]

# tcpi_last_data_recv of linux/tcp.h's tcp_info, in milliseconds.
_LAST_DATA: Final = 52


class Connection:
    """The server's end. ``hello_by`` is when Hello is due (``time.monotonic()``).

    ``silence`` is known of one that has ended: how many seconds ago its last message came.
    """

    def __init__(self, end: socket.socket, peer_port: int, hello_by: float) -> None:
        end.settimeout(0)
        self.socket = end
        self.peer_port = peer_port
        self.hello_by = hello_by
        self.open = True
        self.silence = 0.0
        self._decoder = Decoder()

    def read(self) -> list[Message]:
        """All that has come, without waiting; it is closed (``open``) by its end, by an error, and by nonsense."""
        found: list[Message] = []
        while self.open:
            try:
                data = self.socket.recv(LIMIT)
                found += self._decoder.feed(data)
            except (BlockingIOError, InterruptedError):
                break
            except (OSError, StreamError):
                self.close()
                break
            if not data:
                self.silence = _silence(self.socket)
                self.close()
        return found

    def ask_to_stop(self) -> bool:
        """Say Stop; whether it is on its way."""
        request = stop_request()
        try:
            # Nothing else is ever sent: a socket that has no room for so little is nobody's who listens.
            return self.open and self.socket.send(request) == len(request)
        except OSError:
            return False

    def close(self) -> None:
        """Let go of the socket. May be called again."""
        self.open = False
        self.socket.close()


def _silence(end: socket.socket) -> float:
    info = end.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAST_DATA + 4)
    return float(struct.unpack_from("=I", info, _LAST_DATA)[0]) / 1000
