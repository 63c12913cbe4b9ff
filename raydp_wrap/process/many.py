"""Many children on one epoll, for supervisors of thousands: a few dozen bytes each."""

from __future__ import annotations

import errno
import os
import signal as signals
import warnings
from typing import TYPE_CHECKING, Any

from raydp_wrap._native import ffi, lib
from raydp_wrap.errors import UsageError
from raydp_wrap.model import Exit
from raydp_wrap.process import _core

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Self

_BLOCK = 256
_EVENTS = 64


class ProcessSet:
    """Children known by small integers, awaited together.

    They inherit this process's streams and environment. Not thread-safe: one thread spawns and waits.
    """

    def __init__(self) -> None:
        self._set = _core.check(lib.rd_set_new())
        self._blocks: list[Any] = []  # rd_child[_BLOCK] each: they never move, so the C core may point at them
        self._free: list[int] = []
        self._next = 0
        self._count = 0
        self._events = ffi.new("rd_event[]", _EVENTS)
        self._raw = ffi.new("rd_exit *")

    def __len__(self) -> int:
        """How many are running, or have ended and not been reported."""
        return self._count

    def _child(self, number: int) -> Any:
        return self._blocks[number // _BLOCK] + number % _BLOCK

    def spawn(self, argv: Sequence[str], *, new_session: bool = False) -> int:
        """Start one; its number. Raises as :class:`Process` does."""
        if isinstance(argv, (str, bytes)) or not argv:
            raise UsageError(f"the command {argv!r} is no list of a name and arguments: give one.")
        arguments = ffi.from_buffer(_core.blob(argv, "the command"))
        path = _core.which(os.fsdecode(argv[0]), None)
        spec = ffi.new("rd_spec *")
        text = ffi.new("char[]", os.fsencode(path))
        spec.size = ffi.sizeof("rd_spec")
        spec.executable = text
        spec.argv, spec.argv_len = arguments, len(arguments)
        spec.flags = (lib.RD_NEW_SESSION if new_session else 0) | _core.report_flag(path)
        spec.cgroup_fd = -1
        spec.keep_ignored = 1 << (signals.SIGHUP - 1)
        number = self._free.pop() if self._free else self._next
        if number == len(self._blocks) * _BLOCK:
            self._blocks.append(ffi.new("rd_child[]", _BLOCK))
        child = self._child(number)
        ret = lib.rd_spawn(spec, child)
        if ret == 0:
            ret = lib.rd_set_add(self._set, child.fd, number)
            if ret < 0:
                lib.rd_stop(child, signals.SIGKILL, 0, -1, lib.RD_SCOPE_PROCESS, -1, self._raw)
                os.close(child.fd)
                child.pid, child.stage, child.err = 0, lib.RD_STAGE_CLONE, -ret
        if ret < 0:
            if number != self._next:
                self._free.append(number)
            raise _core.start_error(child.stage, child.err, path, None)
        if number == self._next:
            self._next += 1
        self._count += 1
        return number

    def pid(self, number: int) -> int:
        """The process id of child NUMBER."""
        return int(self._child(number).pid)

    def wait(self, timeout: float | None = None) -> list[tuple[int, Exit]]:
        """Wait for the next ends, up to TIMEOUT seconds; (number, exit) of each, none if the time was up."""
        ended: list[tuple[int, Exit]] = []
        n = lib.rd_set_wait(self._set, self._events, _EVENTS, _core.to_ns(timeout))
        if n == -errno.EINTR:
            return ended
        for i in range(_core.check(n)):
            number = self._events[i].cookie
            child = self._child(number)
            ret = lib.rd_reap(child, self._raw)
            if ret == 0:
                # A tracer still holds it. Events are reported once: ask again.
                lib.rd_set_remove(self._set, child.fd)
                _core.check(lib.rd_set_add(self._set, child.fd, number))
                continue
            if ret != -errno.ECHILD:
                _core.check(ret)
            pid = child.pid
            os.close(child.fd)
            child.pid = 0
            self._free.append(number)
            self._count -= 1
            if ret > 0:
                ended.append((number, _core.exit_of(self._raw)))
            else:
                # As for Process: its status is lost, and a lost status is no success.
                ended.append((number, Exit(code=255)))
                warnings.warn(f"process {pid} was reaped by someone else", RuntimeWarning, stacklevel=2)
        return ended

    def kill_all(self) -> list[tuple[int, Exit]]:
        """SIGKILL every child and reap it; (number, exit) of each."""
        for number in range(self._next):
            child = self._child(number)
            if child.pid:
                lib.rd_signal(child, signals.SIGKILL, lib.RD_SCOPE_PROCESS, -1)
        ended: list[tuple[int, Exit]] = []
        while self._count:
            ended += self.wait()
        return ended

    def close(self) -> None:
        """Kill and reap what is left, and close the set."""
        if self._set >= 0:
            self.kill_all()
            os.close(self._set)
            self._set = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
