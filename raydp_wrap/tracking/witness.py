"""A process that tells in the place of one that is about to end.

Either that one can't have its sinks told any more, or it does not know its own exit code: then its end is waited for.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import struct
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from raydp_wrap import sinks
from raydp_wrap.errors import RaydpWrapError
from raydp_wrap.model import Evidence, Rank, Reason, TerminalState
from raydp_wrap.outcome import decide, signal_name
from raydp_wrap.process.sweep import MARK
from raydp_wrap.repair import Repairs
from raydp_wrap.reporter.kept import keep, kept
from raydp_wrap.reporter.reporting import report
from raydp_wrap.runs import Run
from raydp_wrap.store import Store

if TYPE_CHECKING:
    from raydp_wrap.model import Submission

__all__ = ["exit_code", "main", "start"]

_PATIENCE = 10.0
# linux/pidfd.h: struct pidfd_info as it first was, and the flag for the exit status (Linux 6.15).
_GET_INFO = 0xC040FF0B
_EXIT = 1 << 3
_INFO = struct.Struct("=QQ11Ii")


def start(run: Run, pidfd: int | None) -> int:
    """Start a witness that decides by the outcome kept in RUN, and tells; its pid.

    With PIDFD, a process's, it waits for the end of that first, and takes its exit code, if that can be seen.
    Works in an interpreter's last moments, when Python 3.12 forks no more.

    Raises:
        OSError: it can't be started.

    """
    code = f"import sys; sys.path[:] = {sys.path!r}; from raydp_wrap.tracking.witness import main; main(*sys.argv[1:])"
    held = [run.lock] if pidfd is None else [run.lock, pidfd]
    words = [str(run.directory)] if pidfd is None else [str(run.directory), str(pidfd)]
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDWR, 0),
        (os.POSIX_SPAWN_DUP2, 0, 1),
        *((os.POSIX_SPAWN_DUP2, fd, fd) for fd in held),  # onto itself: it stays open across the exec
    ]
    return os.posix_spawn(
        sys.executable,
        [sys.executable, "-I", "-c", code, *words],
        {name: value for name, value in os.environ.items() if name != MARK},  # no part of any job
        file_actions=actions,
        setsid=True,
        setsigmask=(),
        setsigdef=(signal.SIGINT, signal.SIGTERM, signal.SIGHUP),
    )


def main(path: str, pidfd: str = "") -> None:
    """Decide how the run in the directory PATH ended, and tell its sinks. See :func:`start`."""
    directory = Path(path)
    try:
        with Store(directory.parent.parent) as store:
            submission = store.submission(directory.name)
            if submission is None:
                sys.exit(f"raydp-wrap: the store doesn't know the submission {directory.name}.")
            if pidfd:
                _keep_what_is_seen(directory, submission, int(pidfd))
            # The lock is ours: it was handed over.
            run = Run(directory, -1)
            concluded = Repairs(store, directory.parent.parent, _tell).decide(submission, run, None)
            if concluded.stored:
                run.remove()
            report(concluded, lambda text: sinks.make(text, _tell), _PATIENCE, _tell)
    except RaydpWrapError as error:
        sys.exit(f"raydp-wrap: {error}")


def exit_code(pidfd: int) -> int | None:
    """How the process of PIDFD ended, once it has; minus a signal's number; None where that can't be seen.

    Linux 6.15 and later keep it for who holds a pidfd. Earlier ones show it until the parent has asked for it.
    """
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.poll()
    status = _of_a_zombie(pidfd)
    if status is None:
        status = _of_the_gone(pidfd)
    return None if status is None else os.waitstatus_to_exitcode(status)


def _keep_what_is_seen(directory: Path, submission: Submission, pidfd: int) -> None:
    code = exit_code(pidfd)
    before = kept(directory, submission.submission_id)
    if code is None or before is None:
        return
    now = time.time()
    if code < 0:
        text = f"the process was killed by {signal_name(-code)} in its last moments"
        seen = Evidence(
            "process", text, Rank.WAIT_STATUS, now, TerminalState.KILLED, signal=-code, reason=Reason.OWNER_DIED
        )
    else:
        state = TerminalState.FAILED if code else TerminalState.FINISHED
        seen = Evidence("process", f"the process exited with {code}", Rank.WAIT_STATUS, now, state, code)
    keep(directory, decide([seen], submission, started_at=before.started_at, ended_at=now))


def _of_a_zombie(pidfd: int) -> int | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        pid = _pid_of(pidfd)
        if pid > 0:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                status = int(file.read().rpartition(")")[2].split()[49])
            if _pid_of(pidfd) == pid:  # it was that one's until now, so that it was nobody else's before
                return status
    return None


def _pid_of(pidfd: int) -> int:
    """The pid while the process is there, as a zombie too; else -1."""
    with open(f"/proc/self/fdinfo/{pidfd}", encoding="ascii") as file:
        return next(int(line[4:]) for line in file if line.startswith("Pid:"))


def _of_the_gone(pidfd: int) -> int | None:
    info = bytearray(_INFO.size)
    struct.pack_into("=Q", info, 0, _EXIT)
    try:
        fcntl.ioctl(pidfd, _GET_INFO, info)
    except OSError:
        return None
    fields = _INFO.unpack(info)
    return int(fields[-1]) if fields[0] & _EXIT else None


def _tell(text: str) -> None:
    print(f"raydp-wrap: {text}", file=sys.stderr)  # noqa: T201 - nobody else is left to tell
