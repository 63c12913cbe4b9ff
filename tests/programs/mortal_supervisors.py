"""Supervisors of homes, one after the other, each forked from this process: started and ended line by line.

``start HOME`` prints the pid of a new one; ``start HOME decide after`` has it die by SIGKILL when it has called that.
``kill`` ends it by SIGKILL, ``leave`` lets it be cancelled, ``dead`` waits until it has died; each prints its pid.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import functools
import os
import select
import signal
import sys
from pathlib import Path

from raydp_wrap.local import LocalBackend
from raydp_wrap.local.running import LocalRunning
from raydp_wrap.store import Store
from raydp_wrap.store.jobs import StoreJobs
from raydp_wrap.supervisor.machine import make
from raydp_wrap.supervisor.telling import to_stderr

OWNERS = {"launch": LocalBackend, "restore": LocalBackend, "stop": LocalRunning}


def die_at(name: str, when: str) -> None:
    """Have this process killed around the first call of method NAME."""
    owner = OWNERS.get(name, StoreJobs)
    method = getattr(owner, name)

    def die(moment: str) -> None:
        if moment == when:
            os.kill(os.getpid(), signal.SIGKILL)

    if asyncio.iscoroutinefunction(method):

        @functools.wraps(method)
        async def call(*args, **kwargs):
            die("before")
            found = await method(*args, **kwargs)
            die("after")
            return found

    else:

        @functools.wraps(method)
        def call(*args, **kwargs):
            die("before")
            found = method(*args, **kwargs)
            die("after")
            return found

    setattr(owner, name, call)


def supervise(home: Path) -> None:
    async def main() -> None:
        with Store(home) as store:
            task = asyncio.ensure_future(make(store, home, to_stderr).run())
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
            await asyncio.gather(task, return_exceptions=True)
            if not task.cancelled() and task.exception() is not None:
                to_stderr(f"the supervisor failed: {task.exception()!r}")

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    asyncio.run(main())


def start(home: Path, words: list[str]) -> tuple[int, int]:
    """A new one, and its pidfd."""
    gate, opened = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(opened)
        os.read(gate, 1)
        os.close(gate)
        sys.stdin.close()
        if words:
            die_at(*words)
        supervise(home)
        os._exit(0)
    fd = os.pidfd_open(pid)  # before it can have died: the kernel reaps it for us
    os.close(gate)
    os.close(opened)
    return pid, fd


def await_death(fd: int) -> None:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    poll.poll()
    os.close(fd)


def main() -> None:
    # Guards whose supervisor was killed are ours, and reaped by the kernel.
    ctypes.CDLL(None, use_errno=True).prctl(36, 1, 0, 0, 0)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    pid = fd = 0
    for line in sys.stdin:
        what, *words = line.split()
        if what == "start":
            pid, fd = start(Path(words[0]), words[1:])
        else:
            if what != "dead":
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(fd, signal.SIGKILL if what == "kill" else signal.SIGTERM)
            await_death(fd)
        print(pid, flush=True)


main()
