"""One Ray node on loopback, held by a guard, and the worker processes on it."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from raydp_installed import variables
from raydp_wrap.model import Launch
from raydp_wrap.process import Guard

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_STARTS_WITHIN = 120.0
_GRACE = 10.0


@dataclass(frozen=True)
class RayHead:
    """A node that runs. ``conf`` is a file for ``--ray-conf``."""

    pid: int
    address: str
    conf: Path

    def executors(self) -> dict[int, str]:
        """The Java workers of the node (RayDP's executors and its AppMaster among them), by pid."""
        found = {pid: command_of(pid) for pid in tree(self.pid)}
        return {pid: command for pid, command in found.items() if "DefaultWorker" in command and "java" in command}


@contextlib.contextmanager
def ray_head(programs: Path) -> Iterator[RayHead]:
    """Start one, and end it with everything on it."""
    # Ray's sockets lie deep below it, and a socket's path has 107 bytes.
    place = Path(tempfile.mkdtemp(prefix="rd-"))
    address = f"127.0.0.1:{_free_port()}"
    reading, writing = os.pipe()
    command = [
        str(programs / "ray"),
        "start",
        "--head",
        "--block",
        "--node-ip-address=127.0.0.1",
        f"--port={address.rpartition(':')[2]}",
        "--num-cpus=4",
        f"--memory={3 << 30}",
        f"--object-store-memory={100 << 20}",
        "--include-dashboard=false",
        "--disable-usage-stats",
        f"--temp-dir={place}",
    ]
    try:
        launch = Launch(tuple(command), env=variables(RAY_USAGE_STATS_ENABLED="0"))
        with Guard.start(launch, stdin=subprocess.DEVNULL, stdout=writing, stderr=writing, grace=_GRACE) as guard:
            os.close(writing)
            writing = -1
            _await(reading, b"Ray runtime started.")
            (place / "ray.conf").write_text(f'ray {{ address = "{address}" }}\n')
            yield RayHead(guard.pid, address, place / "ray.conf")
    finally:
        for fd in (reading, writing):
            if fd >= 0:
                os.close(fd)
        shutil.rmtree(place, ignore_errors=True)


def tree(pid: int) -> list[int]:
    """PID's descendants."""
    parents = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
            parents[int(name)] = int(file.read().rpartition(")")[2].split()[1])
    found, todo = [], [pid]
    while todo:
        parent = todo.pop()
        children = [child for child, of in parents.items() if of == parent]
        found += children
        todo += children
    return found


def command_of(pid: int) -> str:
    """Its command line, empty if it is gone."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return os.fsdecode(file.read().replace(b"\0", b" "))
    except OSError:
        return ""


def left_after(seconds: float, processes: Mapping[int, int]) -> set[int]:
    """The pids of PROCESSES (pid: pidfd) that still live SECONDS from now; fewer if all end sooner."""
    deadline = time.monotonic() + seconds
    poll = select.poll()
    waiting = dict(map(reversed, processes.items()))
    for fd in waiting:
        poll.register(fd, select.POLLIN)
    while waiting and (left := deadline - time.monotonic()) > 0:
        for fd, _ in poll.poll(left * 1000):
            poll.unregister(fd)
            del waiting[fd]
    return set(waiting.values())


def _await(fd: int, words: bytes) -> None:
    said = b""
    deadline = time.monotonic() + _STARTS_WITHIN
    while words not in said:
        readable, _, _ = select.select([fd], [], [], max(0.0, deadline - time.monotonic()))
        more = os.read(fd, 1 << 16) if readable else b""
        assert more, f"the Ray node did not start: {said.decode(errors='replace')}"
        said += more


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
