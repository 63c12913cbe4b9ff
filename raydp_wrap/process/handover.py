"""What a guard is given at its start: its configuration, and descriptors under numbers of its own."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal as signals
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from raydp_wrap._native import ffi, lib
from raydp_wrap.errors import UsageError
from raydp_wrap.process import _core

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from typing_extensions import Self

    from raydp_wrap.model import Launch

SOCK_SEQPACKET: Final = 5
Placement = Literal["session", "group", "shared"]

_MAX_PASS_FDS = _MAX_HOLD_FDS = 32
_MAX_INT64 = 2**63 - 1
_MAX_UMASK = 0o777
_PLACEMENTS = {"session": lib.RD_NEW_SESSION, "group": lib.RD_NEW_GROUP, "shared": lib.RD_JOIN_GROUP}


def _fill(array: Any, text: str, what: str) -> None:
    data = os.fsencode(text)
    if len(data) >= len(array):
        raise UsageError(f"{what} is too long: {len(data)} bytes, and at most {len(array) - 1} fit.")
    ffi.memmove(array, data, len(data))


def _deadline(seconds: float | None) -> int:
    return 0 if seconds is None else max(1, _core.to_ns(seconds))


def _nofile(limit: int | None) -> int:
    if limit is None:
        return -1
    if limit < 0:
        raise UsageError(f"{limit} is no limit of descriptors: give a number from 0 up.")
    return min(limit, _MAX_INT64)


def _umask(mask: int | None) -> int:
    if mask is None:
        return -1
    if not 0 <= mask <= _MAX_UMASK:
        raise UsageError(f"{mask} is no umask: give a number from 0 to 0o777.")
    return mask


class Handover:
    """A configuration being filled in; what is opened for the guard is closed here at the end of the ``with``.

    ``fds`` maps the guard's numbers to ours. They avoid those that LAUNCH passes on to the driver.
    """

    def __init__(self, launch: Launch, identity: str) -> None:
        if len(launch.pass_fds) > _MAX_PASS_FDS:
            raise UsageError(f"at most {_MAX_PASS_FDS} descriptors can be passed, not {len(launch.pass_fds)}.")
        self.fds: dict[int, int] = {}
        self._opened: list[int] = []
        self._socket: str | os.PathLike[str] | None = None
        self._free = (n for n in itertools.count(3) if n not in launch.pass_fds)
        self.config = config = ffi.new("rd_guard_config *")
        config.version, config.size = lib.RD_GUARD_VERSION, ffi.sizeof("rd_guard_config")
        config.owner_pid = os.getpid()
        config.terminal = config.record_dir = config.listen_fd = config.cgroup_parent = config.oom_fd = -1
        config.deliver_env = -1
        config.nofile, config.umask = _nofile(launch.nofile), _umask(launch.umask)
        config.keep_fds_count = len(launch.pass_fds)
        for index, fd in enumerate(launch.pass_fds):
            config.keep_fds[index] = fd
        _fill(config.id, identity, "the attempt's id")

    def place(self, placement: Placement, keep_ignored: Sequence[int]) -> None:
        """Where the driver goes, and which signals it leaves ignored beside SIGHUP."""
        emulated = 0 if _core.capabilities().vfork else lib.RD_ERROR_PIPE
        self.config.spawn_flags = _PLACEMENTS[placement] | emulated
        self.config.group = os.getpgrp()
        for number in {signals.SIGHUP, *keep_ignored}:
            self.config.keep_ignored |= 1 << (number - 1)

    def time(
        self, grace: float, sweep_grace: float, reap_timeout: float, active: float | None, start: float | None
    ) -> None:
        """Graces and deadlines, in seconds."""
        config = self.config
        config.grace_ns = _core.to_ns(grace)
        config.sweep_ns = _core.to_ns(min(grace, sweep_grace))
        config.reap_ns = max(1, _core.to_ns(reap_timeout))
        config.active_deadline_ns = _deadline(active)
        config.start_deadline_ns = _deadline(start)

    def give(self, fd: int) -> int:
        """The guard's number for a descriptor that stays the caller's."""
        number = next(self._free)
        self.fds[number] = fd
        return number

    def _give_opened(self, fd: int) -> int:
        self._opened.append(fd)
        return self.give(fd)

    def hold(self, fds: Sequence[int]) -> None:
        """Descriptors that the guard and the delivery command keep open."""
        if len(fds) > _MAX_HOLD_FDS:
            raise UsageError(f"at most {_MAX_HOLD_FDS} descriptors can be held, not {len(fds)}.")
        self.config.hold_fds_count = len(fds)
        for index, fd in enumerate(fds):
            self.config.hold_fds[index] = self.give(fd)

    def deliver_in(self, env: Mapping[str, str]) -> None:
        """Start the delivery command in ENV, and not in the driver's environment."""
        strings = [os.fsencode(f"{name}={value}") + b"\0" for name, value in env.items()]
        start = (len(strings) + 1) * ffi.sizeof("uint64_t")
        *offsets, _end = itertools.accumulate(map(len, strings), initial=start)
        fd = os.memfd_create("environment", os.MFD_CLOEXEC)
        self.config.deliver_env = self._give_opened(fd)
        with open(fd, "wb", closefd=False) as file:
            file.write(ffi.buffer(ffi.new("uint64_t[]", [*offsets, 0])))
            file.writelines(strings)

    def record_to(self, path: Path) -> None:
        """Where the exit record goes: the directory is held open, and may be moved meanwhile."""
        fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self.config.record_dir = self._give_opened(fd)
        _fill(self.config.record_name, path.name, "the record's name")

    def look_after_output(self, limit: int | None, *, split: bool) -> None:
        """Have the guard index the files that stdout and stderr are, and keep each to LIMIT bytes."""
        if limit is not None and limit <= 0:
            raise UsageError(f"{limit} is no size of an output to keep: give a number of bytes from 1 up.")
        self.config.flags |= lib.RD_GUARD_OUTPUT | (lib.RD_GUARD_SPLIT if split else 0)
        self.config.log_limit = min(limit or 0, _MAX_INT64)

    def listen_on(self, path: str | os.PathLike[str]) -> None:
        """Where a detached guard listens, in the record's directory."""
        fd = _core.check(lib.rd_uds_listen(os.fsencode(path), 8, SOCK_SEQPACKET))
        self._socket = path
        self.config.listen_fd = self._give_opened(fd)
        _fill(self.config.socket_name, Path(path).name, "the socket's name")

    def cgroup_below(self, parent: str) -> str:
        """Have the guard make a cgroup of its own below PARENT; its name."""
        name = f"raydp-wrap-{os.urandom(8).hex()}"
        self.config.cgroup_parent = self._give_opened(os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        _fill(self.config.cgroup_name, name, "the cgroup's name")
        return name

    def count_oom_kills(self, path: str) -> None:
        """Have the guard read the counter in PATH, if it can be read."""
        with contextlib.suppress(OSError):
            self.config.oom_fd = self._give_opened(os.open(path, os.O_RDONLY | os.O_CLOEXEC))

    def send(self, channel: int) -> None:
        """Put the configuration where the guard reads it first."""
        _core.check(lib.rd_channel_send(channel, self.config, ffi.sizeof("rd_guard_config")))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for fd in self._opened:
            os.close(fd)
        if kind is not None and self._socket is not None:
            with contextlib.suppress(OSError):
                os.unlink(self._socket)
