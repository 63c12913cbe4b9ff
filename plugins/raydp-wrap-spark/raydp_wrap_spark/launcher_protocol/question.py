"""One question to a running HotSpot JVM, by its attach protocol, in steps that never wait."""

from __future__ import annotations

import os
import socket
import stat
import struct
from contextlib import suppress
from typing import Final

from raydp_wrap_spark.launcher_protocol.attach_files import AttachFiles
from raydp_wrap_spark.launcher_protocol.jvm_process import process
from raydp_wrap_spark.launcher_protocol.performance_data import can_be_asked, performance_data

__all__ = ["Question", "UnansweredError"]

_FIRST_LOOK: Final = 0.05
_OPENS_WITHIN: Final = 5.0
_ANSWERS_WITHIN: Final = 30.0
_LARGEST: Final = 8 << 20
_CREDENTIALS: Final = struct.Struct("3i")


class UnansweredError(Exception):
    """The JVM can't be asked, or gave no answer."""


class Question:
    """``threaddump``, say, with up to three arguments, to the JVM that is process PID, which PIDFD stands for.

    ``files`` are those that it made, if it did: its owner clears them when the JVM is gone. ``deadline`` is when
    :meth:`step` wants to be called at the latest, by the clock of NOW.

    Raises:
        UnansweredError: it can't be asked.

    """

    def __init__(self, pid: int, pidfd: int, command: str, *arguments: str, now: float) -> None:
        self._pid = pid
        self.files: AttachFiles | None = None
        self._words = b"".join(word.encode() + b"\0" for word in ("1", command, *arguments, "", "", "")[:5])
        self._socket: socket.socket | None = None
        self._answer = bytearray()
        try:
            self._process = process(pid)
            if not can_be_asked(performance_data(pid, self._process.inner_pid)):
                raise UnansweredError("it is no JVM that can be asked for its threads")
            if not self._connect():
                if not self._process.catches_quit:
                    raise UnansweredError("it does not catch SIGQUIT")
                self.files = AttachFiles(pid, pidfd, self._process)
        except (OSError, ValueError) as error:
            self.close()
            raise UnansweredError("its process can't be asked") from error
        self._pause = _FIRST_LOOK
        self._give_up = now + (_OPENS_WITHIN if self._socket is None else _ANSWERS_WITHIN)
        self.deadline = now + self._pause if self._socket is None else self._give_up

    def fileno(self) -> int | None:
        """What is readable when there is more of the answer; None before there is a socket."""
        return self._socket.fileno() if self._socket is not None else None

    def step(self, now: float) -> str | None:
        """The answer, once it is complete.

        Raises:
            UnansweredError: there will be none.

        """
        try:
            if self._socket is not None:
                return self._read(now)
            if self._connect():
                self.deadline = self._give_up = now + _ANSWERS_WITHIN
                return self._read(now)
        except OSError as error:
            raise UnansweredError("its answer broke off") from error
        if now >= self._give_up:
            raise UnansweredError("it did not open its socket")
        self._pause *= 2
        self.deadline = min(now + self._pause, self._give_up)
        return None

    def close(self) -> None:
        """Let go of the socket; the JVM doesn't mind."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connect(self) -> bool:
        path = f"/proc/{self._pid}/root/tmp/.java_pid{self._process.inner_pid}"
        with suppress(FileNotFoundError):
            found = os.lstat(path)
            if not stat.S_ISSOCK(found.st_mode) or found.st_uid != self._process.uid:
                raise ConnectionRefusedError(f"{path} is not the JVM's")
            end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._socket = end
            end.settimeout(0)
            end.connect(path)
            answers, *_ = _CREDENTIALS.unpack(end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
            if answers != self._pid:
                raise ConnectionRefusedError(f"{path} is that of process {answers}")
            if self.files is not None:
                self.files.opened()
            # So few bytes always fit into a new socket.
            end.send(self._words)
            return True
        return False

    def _read(self, now: float) -> str | None:
        assert self._socket is not None  # noqa: S101 - for the type checker
        try:
            while data := self._socket.recv(1 << 16):
                self._answer += data
                if len(self._answer) > _LARGEST:
                    raise UnansweredError("its answer is too long")
        except BlockingIOError:
            if now >= self._give_up:
                raise UnansweredError("it did not answer in time") from None
            return None
        code, _, text = self._answer.partition(b"\n")
        if code.strip() != b"0":
            raise UnansweredError("it refused to answer")
        return text.decode(errors="replace")
