"""The listener that a driver connects to: loopback only, one for each attempt, never waiting for anybody."""

from __future__ import annotations

import errno
import hmac
import secrets
import select
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from raydp_wrap_spark.launcher_protocol.connection import Connection
from raydp_wrap_spark.launcher_protocol.messages import Hello
from raydp_wrap_spark.launcher_protocol.peer import belongs_to

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

    from raydp_wrap_spark.launcher_protocol.messages import Message

__all__ = ["Disconnected", "LauncherServer"]

_HELLO_WITHIN: Final = 10.0
_PENDING: Final = 8
# A driver that finds it full would hang.
_BACKLOG: Final = 128
_PORT_TRIES: Final = 8
_PROBE_WITHIN: Final = 0.5
_V4, _V6 = "127.0.0.1", "::1"


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The driver's connection has ended, SILENCE seconds after its last message."""

    silence: float = field(default=0.0, compare=False)


class LauncherServer:
    """One attempt's listener.

    A connection counts once it has said Hello with the secret, and belongs to the driver's process as far as
    that can be told: a spark-submit that the application itself starts inherits the secret, too. One counts
    at a time. The next one may be that of the driver's next SparkContext, and counts when the one before has ended;
    any other is closed. ``listeners`` are the listening descriptors.

    Raises:
        OSError: nobody can connect here: no port, or a firewall on the loopback interface.

    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.secret = secrets.token_hex(32)
        self.driver_pid: int | None = None
        self._driver: Connection | None = None
        self._pending: dict[int, Connection] = {}
        self._listeners = _listen()
        self.port: int = self._listeners[0].getsockname()[1]
        self._epoll = select.epoll()
        for listener in self._listeners:
            self._epoll.register(listener, select.EPOLLIN)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def listeners(self) -> tuple[int, ...]:
        """The listening descriptors: one for IPv4, and one for IPv6 where there is IPv6."""
        return tuple(listener.fileno() for listener in self._listeners)

    @property
    def connected(self) -> bool:
        """Whether a driver's connection counts now."""
        return self._driver is not None

    def fileno(self) -> int:
        """An epoll of everything there is to read."""
        return self._epoll.fileno()

    def deadline(self) -> float | None:
        """When the oldest connection that has not said Hello is closed."""
        return min((connection.hello_by for connection in self._pending.values()), default=None)

    def read(self) -> list[Message | Disconnected]:
        """What the driver has said since the last call, Hello included."""
        ready = {fd for fd, _ in self._epoll.poll(0)}
        found = self._read_driver()
        for listener in self._listeners:
            if listener.fileno() in ready:
                ready |= self._accept(listener)
        for fd in [fd for fd in self._pending if fd in ready]:
            if (connection := self._pending.get(fd)) is not None:
                found += self._read_pending(fd, connection)
        now = self._clock()
        for fd in [fd for fd, connection in self._pending.items() if connection.hello_by <= now]:
            self._drop(fd)
        return found

    def ask_to_stop(self) -> bool:
        """Send Stop to the driver that is connected; whether there is one."""
        return self._driver is not None and self._driver.ask_to_stop()

    def close(self) -> None:
        """Close everything. A driver doesn't mind."""
        for connection in (*self._pending.values(), *([self._driver] if self._driver else [])):
            connection.close()
        self._pending.clear()
        self._driver = None
        for listener in self._listeners:
            listener.close()
        self._epoll.close()

    def _read_driver(self) -> list[Message | Disconnected]:
        if self._driver is None:
            return []
        found: list[Message | Disconnected] = list(self._driver.read())
        if not self._driver.open:
            found.append(Disconnected(self._driver.silence))
            self._driver = None
        return found

    def _accept(self, listener: socket.socket) -> set[int]:
        new: set[int] = set()
        for _ in range(2 * _PENDING):
            try:
                end, address = listener.accept()
            except BlockingIOError:
                break
            except OSError as error:
                # A connection that has failed already is no trouble. Without descriptors or memory there is no
                # end to it: the driver that is connected is listened to, others are left where they are.
                if not isinstance(error, ConnectionError):
                    self._epoll.unregister(listener)
                break
            if len(self._pending) >= _PENDING:
                self._drop(next(iter(self._pending)))
            connection = Connection(end, address[1], self._clock() + _HELLO_WITHIN)
            self._pending[end.fileno()] = connection
            self._epoll.register(end, select.EPOLLIN)
            new.add(end.fileno())
        return new

    def _read_pending(self, fd: int, connection: Connection) -> list[Message | Disconnected]:
        messages = connection.read()
        if not messages:
            if not connection.open:
                del self._pending[fd]
            return []
        first = messages[0]
        if not isinstance(first, Hello) or not hmac.compare_digest(first.secret.encode(), self.secret.encode()):
            self._drop(fd)
            return []
        # The end of the one before came earlier, though this may be the first look at either.
        found = self._read_driver()
        if self._driver is not None or not self._is_drivers(connection):
            self._drop(fd)
            return found
        del self._pending[fd]
        found += messages
        self._driver = connection
        if not connection.open:
            self._driver = None
            found.append(Disconnected(connection.silence))
        return found

    def _is_drivers(self, connection: Connection) -> bool:
        # One that has hung up already has no other end to be looked up.
        if self.driver_pid is None or not connection.open:
            return True
        return belongs_to(self.driver_pid, connection.peer_port, self.port) is not False

    def _drop(self, fd: int) -> None:
        self._pending.pop(fd).close()


def _listen() -> list[socket.socket]:
    for attempt in range(_PORT_TRIES):
        first = _listener(socket.AF_INET, _V4, 0)
        try:
            port = first.getsockname()[1]
            _probe(first, port)
        except OSError:
            first.close()
            raise
        # A JVM that prefers IPv6 takes ::1 for the loopback address, with the same port: refused, it would
        # give up its SparkContext.
        try:
            return [first, _listener(socket.AF_INET6, _V6, port)]
        except OSError as error:
            if not _taken(error) or attempt == _PORT_TRIES - 1:
                return [first]
            first.close()
    raise OSError("no port is free for both IPv4 and IPv6")


def _taken(error: OSError) -> bool:
    return error.errno == errno.EADDRINUSE


def _listener(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((address, port))
        listener.listen(_BACKLOG)
        listener.settimeout(0)
    except OSError:
        listener.close()
        raise
    return listener


def _probe(listener: socket.socket, port: int) -> None:
    # A driver whose connection is refused fails: better no launcher than one that can't be reached.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_WITHIN)
        probe.connect((_V4, port))
        if not select.select([listener], [], [], _PROBE_WITHIN)[0]:
            raise TimeoutError("a connection to our own port does not arrive")
        listener.accept()[0].close()
