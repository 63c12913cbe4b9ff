"""Real Ray's side: one node on loopback under a guard of ours, and samples of one job on it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.jobs_home import clock
from benchmarks.jobs_processes import memory, tree
from raydp_wrap.model import Launch
from raydp_wrap.process import Guard

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.jobs_entrypoint import Entrypoint

_STARTS_WITHIN = 180.0
_CLIENT = Path(__file__).parent / "jobs_ray_client.py"
_SUPERVISOR = b"ray::JobSupervisor"


class Ray:
    """A node at ADDRESS, and a client of it. See :func:`ray`."""

    def __init__(self, programs: Path, address: str, guard: Guard, env: dict[str, str]) -> None:
        self._command = [str(programs / "ray"), "job", "submit", "--address", address, "--no-wait", "--"]
        self._guard = guard
        self._env = env
        self._client = subprocess.Popen(
            [programs / "python", _CLIENT, address],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._client.stdout is not None
        line = (
            self._client.stdout.readline() if select.select([self._client.stdout], [], [], _STARTS_WITHIN)[0] else b""
        )
        if not line:
            raise RuntimeError("Ray's client does not answer")
        return dict(json.loads(line))

    def _ask(self, what: str, of: str) -> dict[str, Any]:
        assert self._client.stdin is not None
        self._client.stdin.write(json.dumps([what, of]).encode() + b"\n")
        self._client.stdin.flush()
        return self._answer()

    def warm(self, entrypoint: Entrypoint) -> dict[str, float]:
        """By Ray's client, which has submitted before."""
        job = self._ask("submit", shlex.join(entrypoint.argv()))
        ran = entrypoint.moment() - job["began"]
        # From here on, so that its many questions don't hold up the start.
        end = self._ask("end", job["id"])
        if end["status"] != "SUCCEEDED":
            raise RuntimeError(f"Ray's job ended so: {end}")
        return {
            "ray run": ran,
            "ray visible": end["visible"] - entrypoint.moment(),
            "ray submit": job["returned"] - job["began"],
        }

    def command(self, entrypoint: Entrypoint) -> dict[str, float]:
        """By ``ray job submit --no-wait``, from its exec on."""
        began = clock()
        subprocess.run(
            [*self._command, *entrypoint.argv()],
            env=self._env,
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        ran = entrypoint.moment() - began
        entrypoint.moment()
        return {"ray run command": ran}

    def memory(self, entrypoint: Entrypoint, count: int) -> dict[str, list[float]]:
        """Bytes of the JobSupervisor of each of COUNT jobs that run."""
        jobs = [self._ask("submit", f"exec {entrypoint.program}")["id"] for _ in range(count)]
        deadline = time.monotonic() + _STARTS_WITHIN
        found: list[int] = []
        while len(found) < count:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{len(found)} of {count} of Ray's jobs run")
            time.sleep(0.5)
            found = [pid for pid in tree(self._guard.guard_pid) if _is_supervisor(pid)]
        time.sleep(2.0)  # they have loaded what they need
        sizes = {f"ray {what.lower()}": [float(memory(pid, what)) for pid in found] for what in ("Rss", "Pss")}
        for job in jobs:
            self._ask("stop", job)
        return sizes

    def close(self) -> None:
        assert self._client.stdin is not None
        assert self._client.stdout is not None
        self._client.stdin.close()
        try:
            self._client.wait(10)
        except subprocess.TimeoutExpired:
            self._client.kill()
            self._client.wait()
        self._client.stdout.close()


def _is_supervisor(pid: int) -> bool:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read().startswith(_SUPERVISOR)
    return False


@contextlib.contextmanager
def ray(programs: Path) -> Iterator[Ray]:
    """Start a node of the Ray in PROGRAMS, and end it with everything on it."""
    # Ray's sockets lie deep below it, and a socket's path has 107 bytes.
    place = Path(tempfile.mkdtemp(prefix="rb-"))
    port, dashboard = _free_port(), _free_port()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    env = {**kept, "PATH": f"{programs}:{kept['PATH']}", "RAY_USAGE_STATS_ENABLED": "0"}
    command = [
        str(programs / "ray"),
        "start",
        "--head",
        "--block",
        "--node-ip-address=127.0.0.1",
        f"--port={port}",
        "--include-dashboard=true",
        "--dashboard-host=127.0.0.1",
        f"--dashboard-port={dashboard}",
        f"--object-store-memory={100 << 20}",
        "--disable-usage-stats",
        f"--temp-dir={place}",
    ]
    said = place / "said"
    try:
        with said.open("wb") as output:
            guard = Guard.start(
                Launch(tuple(command), env=env), stdin=subprocess.DEVNULL, stdout=output, stderr=output, grace=10.0
            )
        with guard:
            client = Ray(programs, f"http://127.0.0.1:{dashboard}", guard, env)
            try:
                yield client
            finally:
                client.close()
    except RuntimeError as error:
        raise RuntimeError(f"{error}; the node said: {said.read_text(errors='replace')[-2000:]}") from error
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
