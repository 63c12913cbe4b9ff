"""One attempt, as its driver's launcher connection tells of it."""

from __future__ import annotations

import os
import select
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from raydp_wrap.watch import Notice, Watch

from raydp_wrap_spark.launcher_protocol.hang import HangGuard
from raydp_wrap_spark.launcher_protocol.messages import AppState, Hello, SetAppId, SetState
from raydp_wrap_spark.launcher_protocol.python_driver import find_driver_of
from raydp_wrap_spark.launcher_protocol.server import Disconnected

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from raydp_wrap.model import Launch

    from raydp_wrap_spark.launcher_protocol.messages import Message
    from raydp_wrap_spark.launcher_protocol.python_driver import PythonDriver
    from raydp_wrap_spark.launcher_protocol.server import LauncherServer

__all__ = ["KIND", "PORT", "SECRET", "LauncherWatch"]

KIND = "launcher"
PORT, SECRET = "_SPARK_LAUNCHER_PORT", "_SPARK_LAUNCHER_SECRET"
_LONGEST_ID = 256


class LauncherWatch(Watch):
    """Listens to the driver that LAUNCH starts; SERVER is this watch's from now on.

    ``stop_timeout`` is what a driver that was asked to stop is left before the signal, ``exit_timeout`` what a JVM is
    left whose application is done (0: for ever). Seconds. ``scripted``: the JVM starts the application as a process
    of its own. What is saved says ``state`` (the last SparkContext's), ``at`` (when), ``hang`` once a JVM was found to
    be done, and ``cluster``, which whoever makes it may set.
    """

    cluster: Mapping[str, Any] | None = None

    def __init__(
        self, launch: Launch, server: LauncherServer, *, stop_timeout: float, exit_timeout: float, scripted: bool
    ) -> None:
        env = dict(os.environ if launch.env is None else launch.env)
        env |= {PORT: str(server.port), SECRET: server.secret}
        # The driver holds the listener, too: whatever becomes of us, its connection is never refused, for that
        # would cost it its SparkContext.
        self._launch = replace(launch, env=env, pass_fds=(*launch.pass_fds, *server.listeners))
        self._server = server
        self._stop_timeout, self._exit_timeout, self._scripted = stop_timeout, exit_timeout, scripted
        self._pid = self._pidfd = -1
        self._hang: HangGuard | None = None
        self._python: PythonDriver | None = None
        self._state: AppState | None = None
        self._spark = ""
        self._at = 0.0
        self._stopping = self._stop_sent = self._asked = False
        self._epoll = select.epoll()
        self._epoll.register(server, select.EPOLLIN)
        self._sources: dict[int, Any] = {}

    @property
    def launch(self) -> Launch:
        """The launch with port and secret in its environment."""
        return self._launch

    def started(self, driver_pid: int) -> None:
        """Know whose connections count, and whose threads may be asked for."""
        self._server.driver_pid = self._pid = driver_pid
        if self._exit_timeout > 0:
            try:
                self._pidfd = os.pidfd_open(driver_pid)
            except ProcessLookupError:
                return
            self._hang = HangGuard(driver_pid, self._pidfd, self._exit_timeout)

    def fileno(self) -> int:
        """An epoll of listener, connections, and what the hang guard waits for."""
        return self._epoll.fileno()

    def deadline(self) -> float | None:
        """The server's, or the hang guard's."""
        both = (self._server.deadline(), self._hang.deadline() if self._hang is not None else None)
        return min((moment for moment in both if moment is not None), default=None)

    def notices(self) -> list[Notice]:
        """What the driver has said, and whether it is done."""
        found = [notice for message in self._server.read() for notice in self._heard(message)]
        if self._hang is not None:
            over = self._hang.step(time.monotonic())
            if over:
                found.append(Notice(over=over))
            self._follow(self._hang.sources())
        return found

    def stop(self) -> float:
        """Send Stop to the driver that is connected."""
        self._stopping = True
        if self._hang is not None:
            self._hang.cease()
        self._stop_sent = self._server.ask_to_stop()
        return self._stop_timeout if self._stop_sent else 0.0

    def ended(self) -> list[Notice]:
        """What the driver said last."""
        if self._hang is not None:
            self._hang.close()
        return [notice for message in self._server.read() for notice in self._heard(message) if not notice.running]

    def save(self) -> Mapping[str, Any] | None:
        """State, when, and what was found of a JVM that hangs."""
        hang = self._hang.facts() if self._hang is not None else None
        state = self._state.value if self._state is not None else None
        known = {"kind": KIND, "spark": self._spark, "state": state, "at": self._at, "hang": hang}
        return known if self.cluster is None else {**known, "cluster": self.cluster}

    def close(self) -> None:
        """Let go of everything; the driver runs on."""
        if self._hang is not None:
            self._hang.close()
        if self._python is not None:
            self._python.close()
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1
        self._server.close()
        self._epoll.close()

    def _heard(self, message: Message | Disconnected) -> Iterator[Notice]:
        self._at = time.time()
        if isinstance(message, Hello):
            self._state, self._spark = AppState.CONNECTED, message.spark_version[:_LONGEST_ID]
            if self._hang is not None:
                self._hang.cease()
                if self._scripted and self._python is None:
                    self._python = find_driver_of(self._pid)
        elif isinstance(message, SetAppId):
            if message.app_id.isprintable() and len(message.app_id) <= _LONGEST_ID:
                yield Notice(app_id=message.app_id)
        elif isinstance(message, SetState):
            self._state = message.state
            if message.state is AppState.RUNNING:
                yield Notice(running=True)
        elif isinstance(message, Disconnected) and self._hang is not None and not self._stopping and self._is_final:
            self._hang.begin(self._python, time.monotonic(), message.silence)
        yield from self._heeded(message)

    @property
    def _is_final(self) -> bool:
        return self._state is not None and self._state.final

    def _heeded(self, message: Message | Disconnected) -> Iterator[Notice]:
        if self._stop_sent and not self._asked and (self._is_final or isinstance(message, Disconnected)):
            self._asked = True
            yield Notice(asked=True)

    def _follow(self, wanted: Mapping[int, Any]) -> None:
        for fd, source in list(self._sources.items()):
            if wanted.get(fd) is not source:
                del self._sources[fd]
                try:
                    self._epoll.unregister(fd)
                except OSError:
                    continue  # closed, and so forgotten, already
        for fd, source in wanted.items():
            if fd not in self._sources:
                self._epoll.register(fd, select.EPOLLIN)
                self._sources[fd] = source
