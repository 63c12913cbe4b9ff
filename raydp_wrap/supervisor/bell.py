"""The line between clients and the supervisor of a home: who writes into the store rings, who waits is told to look.

Nothing but "look into the store" is said over it. The server's side is in :mod:`raydp_wrap.supervisor.doorbell`.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import socket
import struct
import time
from typing import TYPE_CHECKING, Final

from raydp_wrap.errors import SupervisorError, SupervisorGoneError
from raydp_wrap.process.sockets import peer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from typing_extensions import Self

__all__ = ["ALL", "LONGEST_LINE", "LOOK", "NAME", "Bell", "address"]

NAME: Final = "supervisor.sock"
#: What a server sends to have its client look into the store.
LOOK: Final = b"."
#: In the place of an id: whatever changes.
ALL: Final = "*"
LONGEST_LINE: Final = 256
PATIENCE: Final = 15.0

_GREETING = re.compile(rb"raydp-wrap (\S{1,100}) (\d{1,10})\n")
_LONGEST_GREETING = 256
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_TIMEVAL = struct.Struct("ll")


@contextlib.contextmanager
def address(home: Path, name: str = NAME) -> Iterator[str]:
    """A path to the socket NAME in HOME that is short enough for an address, however long HOME's own is.

    Raises:
        OSError: there is no such directory.

    """
    fd = os.open(home, _DIRECTORY)
    try:
        yield f"/proc/self/fd/{fd}/{name}"
    finally:
        os.close(fd)


class Bell:
    """A connection to the supervisor of a home. Made by :meth:`connect`; for one thread at a time.

    ``version`` is the supervisor's package's, ``pid`` its process. While it is connected the supervisor stays. Every
    method raises SupervisorGoneError once the supervisor has hung up: it left, or died, and another one is needed.
    """

    def __init__(self, connection: socket.socket, version: str, pid: int) -> None:
        """Not for callers: use :meth:`connect`."""
        self._socket = connection
        self._owner = os.getpid()
        self.version = version
        self.pid = pid

    @classmethod
    def connect(cls, home: Path, patience: float = PATIENCE) -> Self:
        """Connect to the supervisor of HOME, and wait at most PATIENCE seconds until it answers.

        Raises:
            SupervisorGoneError: there is none, or it is just leaving.
            SupervisorError: there is one, and it doesn't answer; or it is another user's.

        """
        deadline = time.monotonic() + patience
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            # A timeout of Python's would make it non-blocking, and a full backlog look like a connection.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIMEVAL.pack(max(1, int(patience)), 0))
            try:
                with address(home) as path:
                    connection.connect(path)
            except (FileNotFoundError, ConnectionRefusedError) as error:
                raise SupervisorGoneError(f"no supervisor listens in {home}.") from error
            except OSError as error:
                raise SupervisorError(f"the supervisor in {home} can't be reached: {error.strerror}.") from error
            version, pid = _greeting(connection, deadline, home)
        except BaseException:
            connection.close()
            raise
        return cls(connection, version, pid)

    def ring(self) -> None:
        """Say that something in the store has changed."""
        self._send("ring")

    def watch(self, ids: Iterable[str]) -> None:
        """Have :meth:`wait` return at once, and then whenever one of IDS (or ``ALL``) may have changed."""
        for one in ids:
            self._send(f"watch {one}")

    def leave(self) -> None:
        """Ask the supervisor to go, because a newer one is to take over. Its hanging up is the answer."""
        self._send("leave")

    def fileno(self) -> int:
        """Readable when there is something to :meth:`read`."""
        return self._socket.fileno()

    def read(self) -> bool:
        """Whether it was said to look into the store, since the last time. Never waits."""
        try:
            data = self._socket.recv(4096, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError as error:
            raise SupervisorGoneError("the supervisor has hung up.") from error
        if not data:
            raise SupervisorGoneError("the supervisor has hung up.")
        return True

    def wait(self, timeout: float | None = None, also: int | None = None) -> bool:
        """Wait until it is said to look into the store; False when TIMEOUT seconds are over, or ALSO is readable."""
        poll = select.poll()
        poll.register(self.fileno(), select.POLLIN)
        if also is not None:
            poll.register(also, select.POLLIN)
        # Rounded up: a time that is not quite over would be waited for again and again.
        poll.poll(None if timeout is None else min(max(0.0, timeout) * 1000 + 1, 2**31 - 1))
        return self.read()

    def become(self, other: Self) -> None:
        """Be the connection that OTHER was, under our own descriptor's number."""
        os.dup2(other.fileno(), self.fileno(), inheritable=False)
        other._socket.close()
        self.version, self.pid = other.version, other.pid

    def hang_up(self) -> None:
        """End the connection, also for a thread that waits for it, and keep the descriptor until :meth:`close`."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Hang up. A forked child's copy is only dropped."""
        if os.getpid() == self._owner:
            self.hang_up()  # though a forked child may hold a copy: the supervisor would wait for its end
        self._socket.close()

    def _send(self, line: str) -> None:
        try:
            self._socket.sendall(line.encode() + b"\n", socket.MSG_NOSIGNAL)
        except OSError as error:
            raise SupervisorGoneError("the supervisor has hung up.") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _greeting(connection: socket.socket, deadline: float, home: Path) -> tuple[str, int]:
    uid = peer(connection.fileno()).uid
    if uid not in (os.geteuid(), 0):
        raise SupervisorError(f"the supervisor in {home} is another user's (uid {uid}).")
    got = b""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    while not got.endswith(b"\n") and len(got) < _LONGEST_GREETING:
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000 + 1):
            raise SupervisorError(f"the supervisor in {home} doesn't answer: see whether it is stopped.")
        try:
            data = connection.recv(_LONGEST_GREETING)
        except ConnectionError:
            data = b""
        if not data:
            raise SupervisorGoneError(f"the supervisor in {home} is just leaving.")
        got += data
    match = _GREETING.fullmatch(got)
    if match is None:
        raise SupervisorError(f"who listens in {home} is no supervisor: see what uses {NAME} there.")
    return match[1].decode("ascii", "replace"), int(match[2])
