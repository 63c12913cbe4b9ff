"""One child process: Popen's verbs over the C core, with an awaitable end and a stop ladder."""

from __future__ import annotations

import contextlib
import errno
import os
import signal as signals
import threading
import time
import warnings
from typing import IO, TYPE_CHECKING, Any, Final, Literal

from raydp_wrap._native import ffi, lib
from raydp_wrap.errors import StopPendingError, UsageError, WaitTimeoutError
from raydp_wrap.model import Exit
from raydp_wrap.process import _core

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from typing_extensions import Self

PIPE: Final = -1
STDOUT: Final = -2
DEVNULL: Final = -3

Scope = Literal["process", "group", "cgroup"]
Command = "Sequence[str | bytes | os.PathLike[str]]"

_SCOPES = {"process": lib.RD_SCOPE_PROCESS, "group": lib.RD_SCOPE_GROUP, "cgroup": lib.RD_SCOPE_CGROUP}
_TRACER_PAUSE = 0.005
_KEEP_HUP = 1 << (signals.SIGHUP - 1)

# Children whose Process was dropped while they ran: reaped as new ones are started, as Popen does.
_abandoned: list[Any] = []
_abandoned_lock = threading.Lock()

_NOT_REAPED = -2  # what no exit code is


def _reap_abandoned() -> None:
    if not _abandoned_lock.acquire(blocking=False):
        return  # another thread, or the code that our signal handler interrupted, is at it
    try:
        out = ffi.new("rd_exit *")
        for child in _abandoned[:]:
            if lib.rd_reap(child, out) != 0:
                _abandoned.remove(child)
                os.close(child.fd)
    finally:
        _abandoned_lock.release()


class Process:
    """A child process, started by the constructor.

    ARGV is a list of arguments (never a shell line). ``stdin``, ``stdout`` and ``stderr`` are None
    (inherited), ``PIPE``, ``DEVNULL``, ``STDOUT`` (stderr only), a descriptor or a file. ``pass_fds`` keep
    their numbers; ``fds`` maps numbers in the child to descriptors here; every other descriptor above 2 is
    closed in the child. Signal handlers and the signal mask start clean, except that an ignored SIGHUP
    (nohup) stays ignored; ``keep_ignored`` names more such signals.

    ``death_signal`` is sent to the child when the *thread* that started it ends: start such a child from a
    thread that lives as long as the child may. ``cgroup`` is a descriptor of a cgroup v2 directory.
    ``listen_fds`` are passed as in systemd's socket activation: as 3, 4, … with LISTEN_FDS and LISTEN_PID set.

    Raises:
        CommandNotFoundError, CommandNotExecutableError, StartError: nothing runs, and no zombie is left.
        UsageError: the request itself makes no sense.

    """

    def __init__(  # noqa: PLR0912, PLR0915, C901 - one start, one place; each branch is one option
        self,
        argv: Sequence[str | bytes | os.PathLike[str]],
        *,
        executable: str | None = None,
        stdin: int | IO[Any] | None = None,
        stdout: int | IO[Any] | None = None,
        stderr: int | IO[Any] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        fds: Mapping[int, int] | None = None,
        listen_fds: Sequence[int] = (),
        new_session: bool = False,
        new_group: bool = False,
        terminal: int | None = None,
        death_signal: int = 0,
        cgroup: int | None = None,
        keep_ignored: Sequence[int] = (),
        method: int = 0,
    ) -> None:
        self.args = argv
        self.stdin: IO[bytes] | None = None
        self.stdout: IO[bytes] | None = None
        self.stderr: IO[bytes] | None = None
        self._code: int | None = None
        self._model: Exit | None = None
        # Both are re-entrant, for a signal handler that calls us while it interrupts us.
        self._turn = threading.RLock()  # held while reaping and on the stop ladder, maybe for long
        self._lock = threading.RLock()  # guards what follows, never for long
        self._borrowed = 0
        self._raw: Any = None
        self._child: Any = None
        self._owner = os.getpid()
        self._cgroup = -1 if cgroup is None else cgroup
        if isinstance(argv, (str, bytes)):
            raise UsageError(f"the command {argv!r} is one string: give a list of its name and arguments.")
        if not argv:
            raise UsageError("there is no command to run: give at least its name.")
        if _abandoned:
            _reap_abandoned()
        cwd_text = None if cwd is None else os.fspath(cwd)
        argv_blob = ffi.from_buffer(_core.blob(argv, "the command"))
        name = executable if executable is not None else os.fsdecode(argv[0])
        if "\0" in name or "\0" in (cwd_text or ""):
            raise UsageError("the executable or the directory holds a NUL byte: take it out.")
        path = _core.which(name, env, cwd_text)

        if listen_fds:
            env = {**(os.environ if env is None else env)}
            env.update(LISTEN_FDS=str(len(listen_fds)), LISTEN_PID="0" * 10)
        pairs: list[int] = []
        for fd in pass_fds:
            pairs += (fd, fd)
        for number, fd in enumerate(listen_fds, 3):
            pairs += (fd, number)
        if fds:
            for number, fd in fds.items():
                pairs += (fd, number)

        theirs: list[int] = []
        child = ffi.new("rd_child *")
        try:
            try:
                if stdin is not None:
                    self._stream(0, stdin, pairs, theirs)
                if stdout is not None:
                    self._stream(1, stdout, pairs, theirs)
                if stderr is not None:
                    self._stream(2, stderr, pairs, theirs)
                spec = ffi.new("rd_spec *")
                path_text = ffi.new("char[]", os.fsencode(path))
                spec.size = ffi.sizeof("rd_spec")
                spec.executable = path_text
                spec.argv = argv_blob
                spec.argv_len = len(argv_blob)
                if env is not None:
                    env_blob = ffi.from_buffer(_core.environment_blob(env) or b"\0")
                    spec.env = env_blob
                    spec.env_len = len(env_blob) if env else 0
                if cwd_text is not None:
                    cwd_c = ffi.new("char[]", os.fsencode(cwd_text))
                    spec.cwd = cwd_c
                if pairs:
                    fd_map = ffi.new("int32_t[]", pairs)
                    spec.fd_map = fd_map
                    spec.fd_pairs = len(pairs) // 2
                flags = 0
                if new_session:
                    flags |= lib.RD_NEW_SESSION
                elif new_group or terminal is not None:
                    flags |= lib.RD_NEW_GROUP
                if terminal is not None:
                    flags |= lib.RD_FOREGROUND
                    spec.terminal = terminal
                if listen_fds:
                    flags |= lib.RD_LISTEN_PID
                spec.flags = flags | _core.report_flag(path)
                if method:
                    spec.method = method
                if death_signal:
                    spec.death_signal = death_signal
                spec.cgroup_fd = self._cgroup
                keep = _KEEP_HUP
                for number in keep_ignored:
                    keep |= 1 << (number - 1)
                spec.keep_ignored = keep

                if lib.rd_spawn(spec, child) < 0:
                    raise _core.start_error(child.stage, child.err, path, cwd_text)
            finally:
                for fd in theirs:
                    os.close(fd)
            self.pid: int = child.pid
            self._child = child
        except BaseException:
            # Signals wait while a child is being started: a handler that raises does so right behind it.
            _core.undo_spawn(child)
            for stream in (self.stdin, self.stdout, self.stderr):
                if stream is not None:
                    stream.close()
            raise

    def _stream(self, number: int, what: int | IO[Any], pairs: list[int], theirs: list[int]) -> None:
        if not isinstance(what, int):
            pairs += (what.fileno(), number)
        elif what == PIPE:
            with _core.step("fds", str(self.args[0])):
                read_end, write_end = os.pipe2(os.O_CLOEXEC)
            mine, child_end = (write_end, read_end) if number == 0 else (read_end, write_end)
            theirs.append(child_end)
            pairs += (child_end, number)
            stream = os.fdopen(mine, "wb" if number == 0 else "rb")
            setattr(self, ("stdin", "stdout", "stderr")[number], stream)
        elif what == DEVNULL:
            with _core.step("fds", str(self.args[0])):
                fd = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            theirs.append(fd)
            pairs += (fd, number)
        elif what == STDOUT and number == 2:  # noqa: PLR2004 - stderr
            # Wherever 1 goes; it may be inherited, and then is 1 itself.
            pairs += (next((pairs[i] for i in range(0, len(pairs), 2) if pairs[i + 1] == 1), 1), number)
        elif what >= 0:
            pairs += (what, number)
        else:
            raise UsageError(f"{what} is neither a descriptor nor PIPE, DEVNULL or STDOUT.")

    # -- the end ------------------------------------------------------------------------------

    @property
    def returncode(self) -> int | None:
        """The exit code, minus the signal that ended it, or None while it is not known to have ended."""
        return self._code

    @property
    def exit(self) -> Exit | None:
        """How it ended, with its resource usage; None before :meth:`poll` or :meth:`wait` has seen it."""
        if self._model is None and self._code is not None:
            self._model = _core.exit_of(self._raw)
        return self._model

    @property
    def method(self) -> str:
        """How it is waited for: ``clone-pidfd``, ``pidfd-open`` or ``waitid-thread``."""
        return _core.METHODS[self._child.method]

    def fileno(self) -> int:
        """A descriptor that is readable once the process has exited; valid until it is reaped, -1 from then."""
        return int(self._child.fd)

    def _borrow(self) -> int | None:
        """The descriptor, which stays open until it is given back; None once the process has been reaped."""
        with self._lock:
            if self._code is not None:
                return None
            self._borrowed += 1
            return int(self._child.fd)

    def _give_back(self) -> None:
        with self._lock:
            self._borrowed -= 1
            self._close_unused()

    def _close_unused(self) -> None:
        # Closed under a waiter, the number could become another file's before the waiter polls it.
        if self._code is not None and not self._borrowed and self._child.fd >= 0:
            fd, self._child.fd = self._child.fd, -1
            os.close(fd)

    def _reap(self, timeout: float | None = 0.0) -> int | None:
        """Reap it if it has ended; TIMEOUT is for another thread that is on the stop ladder."""
        if self._turn.acquire(timeout=-1 if timeout is None else min(timeout, threading.TIMEOUT_MAX)):
            try:
                if self._code is None:
                    self._finish(self._reaped() or lib.rd_reap(self._child, self._raw))
            finally:
                self._turn.release()
        return self._code

    def _reaped(self) -> int:
        """Whether it has been reaped by a call whose caller was then interrupted by an exception."""
        if self._raw is None:
            raw = ffi.new("rd_exit *")
            raw.code = _NOT_REAPED
            self._raw = raw
        return int(self._raw.code != _NOT_REAPED)

    def _finish(self, ret: int) -> None:
        with self._lock:
            if ret == 0 or self._code is not None:
                return
            if self._raw.code != _NOT_REAPED:
                raw = self._raw
                self._code = -raw.signal if raw.signal else raw.code
            elif ret == -errno.ECHILD:
                # Another part of this program reaped it (waitpid(-1), SIGCHLD ignored): its status is lost,
                # and a lost status is no success.
                self._model = Exit(code=255)
                self._code = 255
            else:
                _core.check(ret)
            self._close_unused()
            lost = self._raw.code == _NOT_REAPED
        if lost:
            warnings.warn(f"process {self.pid} was reaped by someone else", RuntimeWarning, stacklevel=4)

    def poll(self) -> int | None:
        """The returncode if it has ended, else None. Never waits."""
        if self._code is None:
            self._reap()
        return self.returncode

    def _observe(self, timeout: float | None) -> bool:
        if self._borrow() is None:
            return True
        try:
            deadline = None if timeout is None else time.monotonic() + timeout
            while (ret := lib.rd_observe(self._child, _core.to_ns(timeout))) == -errno.EINTR:
                # Our signal handlers have run by now.
                if deadline is not None:
                    timeout = max(0.0, deadline - time.monotonic())
            return bool(_core.check(ret))
        finally:
            self._give_back()

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended; the returncode.

        Raises:
            WaitTimeoutError: it had not ended within TIMEOUT seconds, and goes on.

        """
        if timeout is None and self._code is None:
            # The usual wait, with everything made ready before: what follows the exit is somebody's latency.
            child, observe, reap = self._child, lib.rd_observe, lib.rd_reap
            self._reaped()
            if self._borrow() is None:
                return self.wait()
            try:
                while (ret := observe(child, -1)) == -errno.EINTR:
                    pass  # our signal handlers have run by now
                _core.check(ret)
                with self._turn:
                    if self._code is None:
                        raw = self._raw
                        self._finish(int(raw.code != _NOT_REAPED) or reap(child, raw))
            finally:
                self._give_back()
        deadline = None if timeout is None else time.monotonic() + timeout
        left = timeout
        while self._code is None:
            if not self._observe(left):
                raise WaitTimeoutError(f"process {self.pid} has not ended within {timeout} s")
            if deadline is not None:
                left = max(0.0, deadline - time.monotonic())
            if self._reap(left) is None:
                if left == 0.0:
                    raise WaitTimeoutError(f"process {self.pid} has ended, but is not reaped within {timeout} s")
                time.sleep(_TRACER_PAUSE)  # its tracer holds the zombie, and nothing tells when it lets go
        return self._code

    async def wait_async(self) -> int:
        """Wait without blocking the running event loop; the returncode."""
        import asyncio  # noqa: PLC0415 - 60 ms that only its users should pay

        if self.poll() is None:
            loop = asyncio.get_running_loop()
            ended = loop.create_future()
            # A descriptor of its own: the loop may watch ours already, for another waiter.
            borrowed = self._borrow()
            if borrowed is None:
                return self.wait()
            try:
                fd = os.dup(borrowed)
            finally:
                self._give_back()

            def on_exit() -> None:
                loop.remove_reader(fd)
                if not ended.done():
                    ended.set_result(None)

            loop.add_reader(fd, on_exit)
            try:
                await ended
            finally:
                loop.remove_reader(fd)
                os.close(fd)
        return self.wait()

    def __await__(self) -> Any:
        return self.wait_async().__await__()

    def communicate(self, data: bytes | None = None, timeout: float | None = None) -> tuple[bytes, bytes]:
        """Write DATA to stdin, read stdout and stderr to their end, wait; what was read.

        Raises:
            WaitTimeoutError: not done within TIMEOUT seconds; the process goes on, what was read is dropped.

        """
        import selectors  # noqa: PLC0415 - only its users pay

        deadline = None if timeout is None else time.monotonic() + timeout
        read: dict[Any, list[bytes]] = {stream: [] for stream in (self.stdout, self.stderr) if stream}
        left = memoryview(data or b"")
        with selectors.DefaultSelector() as selector:
            for stream in read:
                selector.register(stream, selectors.EVENT_READ)
            if self.stdin:
                os.set_blocking(self.stdin.fileno(), False)
                selector.register(self.stdin, selectors.EVENT_WRITE)
            while selector.get_map():
                rest = None if deadline is None else deadline - time.monotonic()
                ready = selector.select(rest)
                if not ready and rest is not None and deadline is not None and time.monotonic() >= deadline:
                    raise WaitTimeoutError(f"process {self.pid} has not ended within {timeout} s")
                for key, _ in ready:
                    stream = key.fileobj
                    if stream is self.stdin:
                        try:
                            left = left[os.write(key.fd, left[:65536]) :] if left else left
                        except BlockingIOError:
                            continue
                        except BrokenPipeError:
                            left = left[:0]
                        if left:
                            continue
                    else:
                        chunk = os.read(key.fd, 65536)
                        if chunk:
                            read[stream].append(chunk)
                            continue
                    selector.unregister(stream)
                    stream.close()
        self.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
        return b"".join(read.get(self.stdout, ())), b"".join(read.get(self.stderr, ()))

    # -- signals ------------------------------------------------------------------------------

    def send_signal(self, number: int, scope: Scope = "process") -> None:
        """Send a signal; nothing happens if the process has already been reaped.

        ``group`` needs ``new_session`` or ``new_group``, ``cgroup`` needs ``cgroup``.
        """
        if scope == "process" and self._child.method != lib.RD_METHOD_THREAD:
            # Safe through the pidfd, whoever reaps meanwhile: another thread's stop() can be cut short.
            if self._borrow() is None:
                return
            try:
                ret = lib.rd_signal(self._child, number, lib.RD_SCOPE_PROCESS, -1)
            finally:
                self._give_back()
        else:
            with self._turn:
                if self._code is not None or self._reaped():
                    return
                ret = lib.rd_signal(self._child, number, _SCOPES[scope], self._cgroup)
        if ret != -errno.ESRCH:
            _core.check(ret)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signals.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signals.SIGKILL)

    def stop(
        self,
        grace: float = 10.0,
        *,
        signal: int = signals.SIGTERM,
        scope: Scope = "process",
        reap_timeout: float = 5.0,
    ) -> Exit:
        """Take it down the stop ladder: SIGNAL, GRACE seconds, SIGKILL, and a bounded reap.

        With scope ``group`` or ``cgroup`` the grace is every member's, and it ends when nothing of it is
        left. Where the process had already ended, the rest is killed without a grace; in any case before the
        process is reaped, so that no id can have been given to a stranger. Can't be interrupted, but takes
        at most GRACE + REAP_TIMEOUT seconds; another thread can cut it short by :meth:`kill`.

        Raises:
            StopPendingError: something of it survived SIGKILL for REAP_TIMEOUT seconds; it is not reaped.

        """
        with self._turn:
            if self._code is None:
                ret = self._reaped()
                if not ret:
                    grace_ns, reap_ns = _core.to_ns(grace), _core.to_ns(reap_timeout)
                    ret = lib.rd_stop(self._child, signal, grace_ns, reap_ns, _SCOPES[scope], self._cgroup, self._raw)
                if ret == 0:
                    raise StopPendingError(f"process {self.pid} is still there {reap_timeout} s after SIGKILL")
                self._finish(ret)
            ended = self.exit
            assert ended is not None  # noqa: S101 - _finish sees to it
            return ended

    # -- lifetime -----------------------------------------------------------------------------

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        if os.getpid() != self._owner:
            return  # in a fork of ours: the process is our parent's, to end and to wait for
        if kind is not None and self._code is None:
            self.stop(grace=0.0)  # leaving by an exception: nobody is going to wait for it
        self.wait()

    def __del__(self) -> None:
        if getattr(self, "_child", None) is None:
            return
        if self._code is not None or self._reaped() or os.getpid() != self._owner:
            if self._child.fd >= 0:
                os.close(self._child.fd)
            return
        if lib.rd_reap(self._child, ffi.new("rd_exit *")) != 0:
            os.close(self._child.fd)
            return
        _abandoned.append(self._child)  # before the warning, which may be an error
        warnings.warn(f"process {self.pid} was dropped while running", ResourceWarning, stacklevel=2, source=self)

    def __repr__(self) -> str:
        state = "running" if self._code is None else f"returncode {self.returncode}"
        return f"<Process {self.pid} {state}>"
