"""The edge to the C core: bytes in, exceptions out. Nothing else calls ``lib`` functions by errno."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import signal as signals
from typing import TYPE_CHECKING, Any

from raydp_wrap._native import ffi, lib
from raydp_wrap.errors import CommandNotExecutableError, CommandNotFoundError, StartError, UsageError
from raydp_wrap.model import Exit, Rung, Usage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

NS = 1_000_000_000
_LONGEST = 100 * 365 * 86400.0  # seconds; more would not fit the core's 64 bits of nanoseconds for long

STAGES = {
    lib.RD_STAGE_NONE: "none",
    lib.RD_STAGE_SPEC: "spec",
    lib.RD_STAGE_MEMORY: "memory",
    lib.RD_STAGE_CLONE: "clone",
    lib.RD_STAGE_SESSION: "session",
    lib.RD_STAGE_TERMINAL: "terminal",
    lib.RD_STAGE_DEATH_SIGNAL: "death-signal",
    lib.RD_STAGE_PARENT: "parent",
    lib.RD_STAGE_CGROUP: "cgroup",
    lib.RD_STAGE_CWD: "cwd",
    lib.RD_STAGE_FDS: "fds",
    lib.RD_STAGE_EXEC: "exec",
    lib.RD_STAGE_INTERPRETER: "interpreter",
    lib.RD_STAGE_GUARD: "guard",
}

METHODS = {
    lib.RD_METHOD_CLONE_PIDFD: "clone-pidfd",
    lib.RD_METHOD_PIDFD_OPEN: "pidfd-open",
    lib.RD_METHOD_THREAD: "waitid-thread",
}


def check(ret: int) -> int:
    """Pass a result through, or raise the OSError that a negative errno stands for."""
    if ret < 0:
        raise OSError(-ret, os.strerror(-ret))
    return ret


def to_ns(seconds: float | None) -> int:
    """Seconds as the core counts them; None is for ever."""
    return -1 if seconds is None else int(max(0.0, min(seconds, _LONGEST)) * NS)


@functools.cache
def capabilities() -> Any:
    """What this kernel and sandbox permit: an ``rd_caps``, probed once."""
    caps = ffi.new("rd_caps *")
    check(lib.rd_probe(caps))
    return caps


@contextlib.contextmanager
def step(stage: str, what: str) -> Iterator[None]:
    """Name the step at which an OSError stopped a start."""
    try:
        yield
    except OSError as error:
        number = error.errno or 0
        message = f"{what}: can't be started, at step {stage!r}: {os.strerror(number)}"
        raise StartError(number, message, what, stage=stage) from error


def report_flag(executable: str) -> int:
    """The flag a start of EXECUTABLE needs where vfork is emulated, and a failure comes through a pipe."""
    try:
        return 0 if capabilities().vfork else int(lib.RD_ERROR_PIPE)
    except OSError:
        with step("clone", executable):
            raise


def blob(strings: Sequence[str | bytes | os.PathLike[str]], what: str) -> bytes:
    """Strings as the core takes them: each ended by NUL, back to back."""
    if not strings:
        return b""
    try:
        try:  # one encoding for all, unless one is bytes or a path
            joined = os.fsencode("\0".join(strings))  # type: ignore[arg-type]
        except TypeError:
            joined = b"\0".join([os.fsencode(s) for s in strings])
    except UnicodeEncodeError as error:
        raise UsageError(f"{what} holds a character that has no bytes ({error.reason}): take it out.") from error
    if joined.count(b"\0") != len(strings) - 1:
        raise UsageError(f"{what} holds a NUL byte, which no program can be given: take it out.")
    return joined + b"\0"


def environment_blob(env: Mapping[str, str]) -> bytes:
    """An environment as the core takes it."""
    for name in env:
        if not name or "=" in name:
            raise UsageError(f"{name!r} can't be the name of an environment variable: it is empty or holds '='.")
    return blob([f"{name}={value}" for name, value in env.items()], "the environment")


def which(name: str, env: Mapping[str, str] | None, cwd: str | None = None) -> str:
    """Find NAME as execvp would, in ENV's PATH.

    Raises:
        CommandNotFoundError, CommandNotExecutableError: it is nowhere, or only where it can't be executed.

    """
    if "/" in name:
        return name
    path = (os.environ if env is None else env).get("PATH", os.defpath)
    if cwd is not None:
        # A relative element of PATH counts from where the command will run, as for a shell after cd.
        path = ":".join(os.path.join(cwd, p) if not p.startswith("/") else p for p in path.split(":"))
    out = ffi.new("char[]", len(os.fsencode(path)) + len(os.fsencode(name)) + 8)
    err = -lib.rd_which(os.fsencode(name), os.fsencode(path), out, len(out))
    if err == 0:
        return os.fsdecode(ffi.string(out))
    if err == errno.EACCES:
        raise CommandNotExecutableError(err, f"{name}: found along PATH, but not executable", name, stage="exec")
    raise CommandNotFoundError(errno.ENOENT, f"{name}: command not found", name, stage="exec")


def start_error(stage_number: int, err: int, executable: str, cwd: str | None) -> StartError:
    """Say which step failed, and on what, in one sentence."""
    stage = STAGES.get(stage_number, "spec")
    text = os.strerror(err)
    if stage == "cwd":
        return StartError(err, f"can't change to directory {cwd!r}: {text}", cwd, stage=stage)
    if stage == "interpreter":
        message = f"{executable}: the interpreter it names is missing ({text}): see its first line"
        return CommandNotExecutableError(err, message, executable, stage=stage)
    if stage == "exec":
        if err in (errno.ENOENT, errno.ENOTDIR):
            return CommandNotFoundError(err, f"{executable}: no such file", executable, stage=stage)
        if err == errno.ENOEXEC:
            message = f"{executable}: not a program, nor a script with a #! line"
            return CommandNotExecutableError(err, message, executable, stage=stage)
        if err in (errno.EACCES, errno.EPERM, errno.ELIBBAD, errno.EISDIR, errno.ETXTBSY):
            return CommandNotExecutableError(err, f"{executable}: can't be executed: {text}", executable, stage=stage)
        if err == errno.E2BIG:
            message = f"{executable}: the arguments and environment are too long: {text}"
            return StartError(err, message, executable, stage=stage)
        return StartError(err, f"{executable}: can't be executed: {text}", executable, stage=stage)
    return StartError(err, f"{executable}: can't be started, at step {stage!r}: {text}", executable, stage=stage)


def undo_spawn(child: Any) -> None:
    """End and reap a child whose start nobody will hear of; nothing if there is none."""
    if child.pid > 0:
        lib.rd_stop(child, signals.SIGKILL, 0, -1, lib.RD_SCOPE_PROCESS, -1, ffi.new("rd_exit *"))
        os.close(child.fd)
        child.pid, child.fd = 0, -1


def usage_of(raw: Any) -> Usage:
    """The rusage part of an ``rd_exit``."""
    return Usage(
        user_seconds=raw.user_us / 1e6,
        system_seconds=raw.system_us / 1e6,
        max_rss=raw.max_rss_kib * 1024,
        minor_faults=raw.minor_faults,
        major_faults=raw.major_faults,
        blocks_in=raw.blocks_in,
        blocks_out=raw.blocks_out,
        switches_voluntary=raw.switches_voluntary,
        switches_forced=raw.switches_forced,
    )


def exit_of(raw: Any) -> Exit:
    """An ``rd_exit`` as a model."""
    signal = raw.signal or None
    return Exit(
        code=None if signal else raw.code,
        signal=signal,
        core_dumped=bool(raw.core_dumped),
        usage=usage_of(raw),
        rung=Rung(raw.rung),
    )
