"""The supervisor's end of the bell: a socket in its home, and whoever is connected to it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from typing import TYPE_CHECKING

from raydp_wrap.process.sockets import peer
from raydp_wrap.supervisor.bell import ALL, LONGEST_LINE, LOOK, NAME, address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

__all__ = ["Doorbell"]

_BACKLOG = 4096
_AT_ONCE = 100  # connections taken, before others have their turn
_READ = 4096
_LITTLE = 2048  # bytes that may wait in the kernel for one caller who doesn't read; it has a least size of its own
_MOST_WATCHED = 1000  # ids; who wants more is told everything
_PAUSE = 1.0  # seconds, where no descriptor was left for another caller
_OUT_OF = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Doorbell:
    """Listens at ``HOME/supervisor.sock`` from :meth:`open` on, and answers once it is attended to.

    ON_RING is called when somebody has rung, or has hung up (who is killed between its write and its ring rings so).
    ON_LEAVE is called when a newer client wants another supervisor. All but :meth:`open` belongs to the event loop.
    """

    def __init__(
        self, home: Path, version: str, *, on_ring: Callable[[], object], on_leave: Callable[[], object]
    ) -> None:
        self._home = home
        self._greeting = f"raydp-wrap {version} {os.getpid()}\n".encode()
        self.on_ring = on_ring
        self.on_leave = on_leave
        self._listener: socket.socket | None = None
        self._callers: set[_Caller] = set()
        self._watchers: dict[str, set[_Caller]] = {}
        self._alone = asyncio.Event()
        self._visited = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def callers(self) -> int:
        """How many are connected."""
        return len(self._callers)

    def open(self) -> None:
        """Listen. The caller holds the home's lock: whatever socket stands there is a dead one's.

        Raises:
            OSError: nothing can be made there.

        """
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        new = f"{NAME}.new"
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._home / new)
            with address(self._home, new) as path:
                listener.bind(path)
                os.chmod(path, 0o600)
            listener.listen(_BACKLOG)
            # Whoever finds it under its name can connect to it.
            os.replace(self._home / new, self._home / NAME)
        except BaseException:
            listener.close()
            raise
        self._listener = listener

    def attend(self) -> None:
        """Answer, in the running loop, from now on."""
        self._loop = asyncio.get_running_loop()
        self._alone.set()
        self._listen()

    def tell(self, ids: Iterable[str]) -> None:
        """Have those look into the store who watch one of IDS."""
        told = set(self._watchers.get(ALL, ()))
        for one in ids:
            told |= self._watchers.get(one, set())
        for caller in told:
            caller.look()

    async def alone(self) -> None:
        """Wait until nobody is connected."""
        await self._alone.wait()

    async def visited(self) -> None:
        """Wait until somebody connects."""
        self._visited.clear()
        await self._visited.wait()

    def hang_up(self) -> None:
        """Be no more to be found, for those who come now. To be followed by :meth:`close`."""
        if self._listener is not None:
            if self._loop is not None:
                self._loop.remove_reader(self._listener)
            with contextlib.suppress(OSError):
                os.unlink(self._home / NAME)
            self._listener.close()
            self._listener = None

    def close(self) -> None:
        """Hang up on everyone."""
        self.hang_up()
        for caller in list(self._callers):
            caller.close()

    def drop(self) -> None:
        """In a forked child: close its copies, and nothing else."""
        for one in (self._listener, *(caller.socket for caller in self._callers)):
            if one is not None:
                one.close()

    def _listen(self) -> None:
        if self._listener is not None and self._loop is not None:
            self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            if self._listener is None or self._loop is None:
                return
            try:
                connection, _ = self._listener.accept()
            except BlockingIOError:
                return
            except ConnectionError:
                continue
            except OSError as error:
                if error.errno not in _OUT_OF:
                    raise
                # They wait in the backlog; to look again and again would take all of the processor.
                self._loop.remove_reader(self._listener)
                self._loop.call_later(_PAUSE, self._listen)
                return
            self._welcome(connection, self._loop)

    def _welcome(self, connection: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        connection.setblocking(False)  # noqa: FBT003 - positional only
        try:
            if peer(connection.fileno()).uid not in (os.geteuid(), 0):
                connection.close()
                return
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _LITTLE)
            connection.send(self._greeting, socket.MSG_NOSIGNAL)
        except OSError:
            connection.close()
            return
        self._callers.add(_Caller(self, connection, loop))
        self._alone.clear()
        self._visited.set()

    def watch(self, caller: _Caller, what: str) -> None:
        """CALLER is to be told of WHAT; called by itself."""
        if what != ALL and len(caller.watched) >= _MOST_WATCHED:
            self._unwatch(caller)
            what = ALL
        if ALL not in caller.watched:
            caller.watched.add(what)
            self._watchers.setdefault(what, set()).add(caller)

    def gone(self, caller: _Caller) -> None:
        """CALLER has hung up, or was hung up on; called by itself."""
        self._unwatch(caller)
        self._callers.discard(caller)
        if not self._callers:
            self._alone.set()

    def _unwatch(self, caller: _Caller) -> None:
        for one in caller.watched:
            watchers = self._watchers[one]
            watchers.discard(caller)
            if not watchers:
                del self._watchers[one]
        caller.watched.clear()


class _Caller:
    """One connection."""

    def __init__(self, doorbell: Doorbell, connection: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        self.socket = connection
        self.watched: set[str] = set()
        self._doorbell = doorbell
        self._loop = loop
        self._rest = b""
        loop.add_reader(connection, self._read)

    def look(self) -> None:
        """Say so. What waits there unread says it already: a full buffer is no loss."""
        try:
            self.socket.send(LOOK, socket.MSG_NOSIGNAL)
        except BlockingIOError:
            pass
        except OSError:
            self.close()

    def close(self) -> None:
        """Hang up."""
        if self.socket.fileno() < 0:
            return
        self._loop.remove_reader(self.socket)
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)  # a forked child may hold a copy
        self.socket.close()
        self._doorbell.gone(self)

    def _read(self) -> None:
        try:
            data = self.socket.recv(_READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            self._doorbell.on_ring()
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LONGEST_LINE or not self._heard(lines):
            self.close()

    def _heard(self, lines: list[bytes]) -> bool:
        """Do what LINES say; False for what nobody of ours says."""
        rung = watched = False
        for line in lines:
            word, _, what = line.partition(b" ")
            if line == b"ring":
                rung = True
            elif line == b"leave":
                self._doorbell.on_leave()
            elif word == b"watch" and 0 < len(what) < LONGEST_LINE and what.isascii() and what.decode().isprintable():
                self._doorbell.watch(self, what.decode())
                watched = True
            else:
                return False
        if watched:
            self.look()  # from now on nothing is missed; before, something may have been
        if rung:
            self._doorbell.on_ring()
        return True
