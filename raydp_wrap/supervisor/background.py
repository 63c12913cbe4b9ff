"""The one background process that supervises a home: started when it is needed, gone when it is not."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import select
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import raydp_wrap
from raydp_wrap.errors import RaydpWrapError, SupervisorError, SupervisorGoneError, WaitTimeoutError
from raydp_wrap.process.sweep import MARK
from raydp_wrap.supervisor.bell import Bell
from raydp_wrap.supervisor.locks import GATE, LIFE, lock
from raydp_wrap.supervisor.telling import to_stderr

if TYPE_CHECKING:
    from collections.abc import Callable

    from raydp_wrap.supervisor.serving import Serving

__all__ = ["LOG", "PATIENCE", "ensure", "in_foreground", "main", "present"]

LOG = "supervisor.log"
#: Seconds that a supervisor may take to start, before its starter gives up.
PATIENCE = 30.0
_LINGER = 5.0
_LOG_LIMIT = 1 << 20
_LONGEST_SENTENCE = 4096
_TRIES = 3
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW


def ensure(home: Path, patience: float = PATIENCE, tell: Callable[[str], None] | None = None) -> Bell:
    """A connection to the supervisor of HOME, which is started if there is none. HOME is a private directory of ours.

    One of an older version of this package is asked to leave first; what runs goes on, and is adopted. TELL is told
    of one that was started and won't last.

    Raises:
        SupervisorError: it can't be started, or doesn't answer; the sentence says why.

    """
    bell = present(home)
    if bell is not None:
        return bell
    deadline = time.monotonic() + patience
    gate = lock(home, GATE, patience)
    try:
        for _ in range(_TRIES):
            bell = present(home, deadline)
            if bell is not None:
                return bell
            _start(home, gate, deadline)
            if tell is not None and MARK in os.environ:
                # The guard of the job that we are part of ends its whole tree, and nobody can leave that.
                tell(
                    "the supervisor was started from inside a job, and ends with that job, as does all that it runs: "
                    "start one outside before, by 'python -m raydp_wrap.supervisor'."
                )
    finally:
        os.close(gate)
    raise SupervisorError(f"the supervisor ended right after its start, {_TRIES} times: see {home / LOG}.")


def present(home: Path, replace_until: float | None = None) -> Bell | None:
    """A connection to who is there. None: there is nobody, or an older one, which has left until REPLACE_UNTIL."""
    try:
        bell = Bell.connect(home)
    except SupervisorGoneError:
        return None
    if _numbers(bell.version) >= _numbers(raydp_wrap.__version__):
        return bell
    with bell:
        if replace_until is not None:
            with contextlib.suppress(SupervisorGoneError):
                bell.leave()
                while (left := replace_until - time.monotonic()) > 0:
                    bell.wait(left)
                raise SupervisorError(f"the supervisor {bell.version} (pid {bell.pid}) does not leave: stop it.")
    return None


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]


def _start(home: Path, gate: int, deadline: float) -> None:
    """Start one, and wait until it listens. It holds the lock GATE with us until then, should we die meanwhile."""
    from raydp_wrap.ownership import own_command  # noqa: PLC0415 - mostly there is one already
    from raydp_wrap.process import DEVNULL, Process  # noqa: PLC0415 - mostly there is one already

    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        try:
            log = _open_log(home)
            try:
                starter = Process(
                    own_command("raydp_wrap.supervisor.background", str(home), str(writer), str(gate)),
                    stdin=DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd="/",
                    new_session=True,
                    pass_fds=(writer, gate),
                )
            finally:
                os.close(log)
        except (RaydpWrapError, OSError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise SupervisorError(f"the supervisor can't be started: {why}.") from error
        finally:
            os.close(writer)
        try:
            said = _read_all(reader, deadline)
        finally:
            # It has forked and ended long ago. (What it has left goes on, whatever interrupts us.)
            try:
                starter.wait(max(1.0, deadline - time.monotonic()))
            except WaitTimeoutError:
                starter.kill()
                starter.wait()
    finally:
        os.close(reader)
    if said is None:
        raise SupervisorError(f"the supervisor is not ready yet: see {home / LOG}.")
    if said != "ready":
        raise SupervisorError(f"the supervisor can't be started: {said or f'see {home / LOG}.'}")


def _open_log(home: Path) -> int:
    path = home / LOG
    with contextlib.suppress(FileNotFoundError):
        if path.lstat().st_size > _LOG_LIMIT:
            path.replace(path.with_name(f"{LOG}.1"))
    return os.open(path, _APPEND, 0o600)


def _read_all(fd: int, deadline: float) -> str | None:
    """What is said until the other end is closed; None where that is not by DEADLINE."""
    said = b""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    while len(said) < _LONGEST_SENTENCE:
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000 + 1):
            return None
        data = os.read(fd, _LONGEST_SENTENCE)
        if not data:
            break
        said += data
    return said.decode("utf-8", "replace").strip()


def main(home: str, ready: str, gate: str) -> None:
    """The started process: leave its starter's family, supervise HOME, and say on the pipe READY how that began."""
    if os.fork():
        os._exit(0)  # whoever started us has nothing to reap but this
    place, pipe, gate_fd = Path(home), int(ready), int(gate)
    for fd in (pipe, gate_fd):
        os.set_inheritable(fd, False)  # noqa: FBT003 - positional only
    try:
        serving = _opened(place, PATIENCE)
    except (RaydpWrapError, OSError) as error:
        to_stderr(str(error))
        _let_in(gate_fd)
        _say(pipe, str(error))
        sys.exit(1)
    _let_in(gate_fd)
    _say(pipe, "ready")
    _supervise(serving, _linger())


def _let_in(gate: int) -> None:
    fcntl.flock(gate, fcntl.LOCK_UN)  # our starter's, too: it is one open file
    os.close(gate)


def _say(pipe: int, what: str) -> None:
    with contextlib.suppress(BrokenPipeError):
        os.write(pipe, f"{what}\n".encode("utf-8", "replace")[:_LONGEST_SENTENCE])
    os.close(pipe)


def _opened(home: Path, patience: float) -> Serving:
    from raydp_wrap.supervisor.machine import make  # noqa: PLC0415 - asyncio and all: not for who only asks
    from raydp_wrap.supervisor.serving import Serving  # noqa: PLC0415 - the same

    os.umask(0o077)
    _raise_nofile()
    # Whoever holds it can't be connected to: it is just leaving.
    return Serving(home, lock(home, LIFE, patience), to_stderr, make)


def in_foreground(home: Path) -> None:
    """Supervise HOME in this process until a signal ends it, idle or not.

    Raises:
        SupervisorError: another process does.

    """
    gate = lock(home, GATE, PATIENCE)
    try:
        bell = present(home, time.monotonic() + PATIENCE)
        if bell is not None:
            bell.close()
            raise SupervisorError(f"{home} has a supervisor already, with pid {bell.pid}: end that one first.")
        serving = _opened(home, PATIENCE)
    finally:
        os.close(gate)
    _supervise(serving, None)


def _supervise(serving: Serving, linger: float | None) -> None:
    """Supervise in this process's main thread, until it is idle or a signal ends it."""
    import asyncio  # noqa: PLC0415 - as in _opened

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, serving.leave)
        try:
            await serving.serve(linger)
        except RaydpWrapError as error:
            to_stderr(f"nobody can supervise this: {error}")
            raise SystemExit(1) from None
        finally:
            # In here: a thread that something hangs in holds up our end, and must not hold up the next one's beginning.
            serving.close()

    asyncio.run(serve())


def _linger() -> float:
    from raydp_wrap import settings  # noqa: PLC0415 - as in _opened

    try:
        return settings.seconds("linger", os.environ, {}, _LINGER)
    except RaydpWrapError as error:
        to_stderr(str(error))
        return _LINGER


def _raise_nofile() -> None:
    import resource  # noqa: PLC0415 - as in _opened

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
