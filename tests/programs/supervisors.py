"""Supervisors of the home given, one after the other, each forked from this process: started and killed line by line.

``start`` prints the pid of a new one, ``kill`` ends it by SIGKILL, ``leave`` lets it be cancelled, and waits.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import select
import signal
import sys
from pathlib import Path

from raydp_wrap.store import Store
from raydp_wrap.supervisor.machine import make
from raydp_wrap.supervisor.telling import to_stderr


def supervise(home: Path) -> None:
    async def main() -> None:
        with Store(home) as store:
            task = asyncio.ensure_future(make(store, home, to_stderr).run())
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
            await asyncio.gather(task, return_exceptions=True)

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    asyncio.run(main())


def end(pid: int, number: int) -> None:
    fd = os.pidfd_open(pid)
    os.kill(pid, number)
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    poll.poll()
    os.close(fd)


def main() -> None:
    home = Path(sys.argv[1])
    # Guards whose supervisor was killed are ours, and reaped by the kernel.
    ctypes.CDLL(None, use_errno=True).prctl(36, 1, 0, 0, 0)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    pid = 0
    for line in sys.stdin:
        if line == "start\n":
            pid = os.fork()
            if not pid:
                sys.stdin.close()
                supervise(home)
                os._exit(0)
        else:
            end(pid, signal.SIGKILL if line == "kill\n" else signal.SIGTERM)
        print(pid, flush=True)


main()
