"""Our side: a home with a supervisor, and samples of one job in it."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from raydp_wrap.client import Client
from raydp_wrap.errors import GuardError, SupervisorGoneError
from raydp_wrap.process import Guard
from raydp_wrap.supervisor.background import ensure
from raydp_wrap.supervisor.bell import Bell

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.jobs_entrypoint import Entrypoint

_SCRIPT = Path(sys.executable).parent / "raydp-wrap"
COMMAND = [str(_SCRIPT)] if _SCRIPT.exists() else [sys.executable, "-m", "raydp_wrap"]


def clock() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


class Home:
    """A home, and a client of it. See :func:`home`."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.client = Client(place)
        self._bell: Bell | None = None

    def supervised(self) -> int:
        """Have a supervisor that stays, and no cold start; its pid."""
        if self._bell is None:
            self._bell = ensure(self.place)
        return self._bell.pid

    def unsupervised(self) -> None:
        """End the supervisor, if there is one. What runs goes on."""
        if self._bell is not None:
            self._bell.close()
            self._bell = None
        with contextlib.suppress(SupervisorGoneError, ProcessLookupError):
            with Bell.connect(self.place) as bell:
                ended = os.pidfd_open(bell.pid)
                signal.pidfd_send_signal(ended, signal.SIGTERM)
            select.select([ended], [], [])
            os.close(ended)

    def warm(self, entrypoint: Entrypoint) -> dict[str, float]:
        """By the client, whose supervisor is there."""
        self.supervised()
        return self._by_client(entrypoint, "")

    def cold(self, entrypoint: Entrypoint) -> dict[str, float]:
        """By the client; the supervisor has to be started."""
        self.unsupervised()
        return self._by_client(entrypoint, " cold")

    def _by_client(self, entrypoint: Entrypoint, how: str) -> dict[str, float]:
        began = clock()
        job = self.client.submit(entrypoint.argv())
        returned = clock()
        outcome = job.wait()
        visible = clock()
        if outcome.exit_code != 0:
            raise RuntimeError(f"a job ended so: {outcome}")
        found = {f"run{how}": entrypoint.moment() - began, f"visible{how}": visible - entrypoint.moment()}
        return {**found, f"submit{how}": returned - began}

    def command(self, entrypoint: Entrypoint) -> dict[str, float]:
        """By the command line, from its exec on; the supervisor is there."""
        self.supervised()
        command = [*COMMAND, "jobs", "submit", "-q", "--", *entrypoint.argv()]
        began = clock()
        process = subprocess.Popen(
            command,
            env={**os.environ, "RAYDP_WRAP_HOME": str(self.place)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        said = process.communicate()[0].decode()
        if process.returncode:
            raise RuntimeError(f"{command} ended with {process.returncode}")
        ran = entrypoint.moment() - began
        entrypoint.moment()
        self.client.job(said.split()[-1]).wait()
        return {"run command": ran}

    def end(self) -> None:
        """End the supervisor and whatever runs."""
        self.unsupervised()
        for place in (self.place / "jobs").glob("*"):
            with contextlib.suppress(GuardError, OSError), Guard.connect(place / "socket") as guard:
                guard.stop(grace=0)
                guard.wait()
                guard.done()
        self.client.close()


@contextlib.contextmanager
def home(where: Path) -> Iterator[Home]:
    """A new one in the directory WHERE; when it is left nothing of it is left."""
    with tempfile.TemporaryDirectory(prefix=".bench-jobs-", dir=where) as name:
        made = Home(Path(name))
        try:
            yield made
        finally:
            made.end()
