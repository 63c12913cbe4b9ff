"""Many children on one epoll, for supervisors of thousands: a few dozen bytes each."""

from __future__ import annotations

import errno
import os
import signal as signals
import time
import warnings
from typing import TYPE_CHECKING, Any

from raydp_wrap._native import ffi, lib
from raydp_wrap.errors import UsageError
from raydp_wrap.process import _core

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Self

    from raydp_wrap.model import Exit

_BLOCK = 256
_EVENTS = 64
_NOT_REAPED = -0x7FFFFFFF
_TRACER_PAUSE = 0.005


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
        self._reaping: int | None = None
        self._ended: list[tuple[int, Exit]] = []  # reaped, and not yet returned by a wait; their numbers are not free
        self._owner = os.getpid()

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
        try:
            ret = lib.rd_spawn(spec, child)
            if ret == 0:
                ret = lib.rd_set_add(self._set, child.fd, number)
                if ret < 0:
                    _core.undo_spawn(child)
                    child.stage, child.err = lib.RD_STAGE_CLONE, -ret
            if ret < 0:
                raise _core.start_error(child.stage, child.err, path, None)  # noqa: TRY301 - the clean-up is below
        except BaseException:
            _core.undo_spawn(child)
            if number != self._next:
                self._free.append(number)
            raise
        if number == self._next:
            self._next += 1
        self._count += 1
        return number

    def pid(self, number: int) -> int:
        """The process id of child NUMBER."""
        return int(self._child(number).pid)

    def wait(self, timeout: float | None = None) -> list[tuple[int, Exit]]:
        """Wait for the next ends, up to TIMEOUT seconds; (number, exit) of each.

        None if the time was up, or if a signal handler ran meanwhile. When a handler raises, the exception ends
        this call, and what had been collected is returned by the next one; len() counts it until then. Only what
        was on its way back already is the caller's to lose, like anything that is returned.
        """
        self._settle()
        if not self._ended:
            self._collect(_core.to_ns(timeout))
        ended = self._ended
        numbers = [number for number, _ in ended]
        count = len(numbers)
        # No call from here on, so no exception either: handed out as a whole, or not at all.
        self._free += numbers
        self._count -= count
        self._ended = []
        return ended

    def _settle(self) -> None:
        """Note the end whose noting an exception interrupted."""
        if self._reaping is not None and self._raw.code != _NOT_REAPED:
            self._note(self._reaping)

    def _collect(self, timeout_ns: int) -> None:
        n = lib.rd_set_wait(self._set, self._events, _EVENTS, timeout_ns)
        if n == -errno.EINTR:
            return
        held = 0
        for i in range(_core.check(n)):
            held += not self._reap(self._events[i].cookie)
        if held and held == n:
            time.sleep(_TRACER_PAUSE)  # a tracer holds the zombie, and nothing tells when it lets go

    def _reap(self, number: int) -> bool:
        # An exception, of a signal handler say, may come after any call: what has been reaped is then in
        # _raw, for the next wait, and what has not is reported to it again.
        self._raw.code = _NOT_REAPED
        self._reaping = number
        child = self._child(number)
        ret = lib.rd_reap(child, self._raw)
        if ret == 0:
            return False
        if ret != -errno.ECHILD:
            _core.check(ret)
            self._note(number)
            return True
        # As for Process: its status is lost, and a lost status is no success.
        pid = child.pid
        self._raw.signal, self._raw.code = 0, 255
        self._note(number)
        warnings.warn(f"process {pid} was reaped by someone else", RuntimeWarning, stacklevel=4)
        return True

    def _note(self, number: int) -> None:
        child = self._child(number)
        ended = [(number, _core.exit_of(self._raw))]
        # A fork of ours may hold the descriptor too: closing it would not end its events.
        lib.rd_set_remove(self._set, child.fd)
        # No call between these, so no exception either: noted once, or not at all.
        self._ended += ended
        self._reaping = None
        child.pid = 0
        os.close(child.fd)

    def kill_all(self) -> list[tuple[int, Exit]]:
        """SIGKILL every child and reap it; (number, exit) of each, as :meth:`wait` has it."""
        self._settle()
        for number in range(self._next):
            child = self._child(number)
            if child.pid:
                lib.rd_signal(child, signals.SIGKILL, lib.RD_SCOPE_PROCESS, -1)
        while self._count > len(self._ended):
            self._collect(-1)
        return self.wait(0)

    def close(self) -> None:
        """Kill and reap what is left, and close the set."""
        if self._set >= 0:
            if os.getpid() == self._owner:  # in a fork of ours the children are our parent's
                self.kill_all()
            fd, self._set = self._set, -1
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
