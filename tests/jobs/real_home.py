"""A home with a real store, real supervisors that can be killed, and real processes; and what its clients do."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raydp_wrap.errors import GuardError
from raydp_wrap.job import StopWish
from raydp_wrap.model import Submission
from raydp_wrap.moment import Moment
from raydp_wrap.process import Guard
from raydp_wrap.request import Context, Phase, Request
from raydp_wrap.store import Store
from raydp_wrap.supervisor.verdict import killed

if TYPE_CHECKING:
    from collections.abc import Callable

    from raydp_wrap.job import Job

__all__ = ["LIMIT", "RealHome", "Supervisors", "until"]

PROGRAM = Path(__file__).parent.parent / "programs" / "mortal_supervisors.py"
LIMIT = 60.0
TERMINAL = tuple(phase for phase in Phase if phase.terminal)


def until(holds: Callable[[], Any], says: Callable[[], object] = str, limit: float = LIMIT) -> Any:
    """HOLDS's first true result; for what gives no event."""
    end = time.monotonic() + limit
    while True:
        found = holds()
        if found:
            return found
        assert time.monotonic() < end, says()
        time.sleep(0.002)


class Supervisors:
    """The process that the supervisors of one or more homes are forked from, run by the command WRAP."""

    def __init__(self, wrap: tuple[str, ...] = ()) -> None:
        self._program = subprocess.Popen(
            [*wrap, sys.executable, str(PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )

    def ask(self, *what: str) -> int:
        """Have one started or ended; its pid."""
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        self._program.stdin.write(" ".join(what) + "\n")
        self._program.stdin.flush()
        return int(self._program.stdout.readline())

    def close(self) -> None:
        """End it. Its last supervisor has ended."""
        try:
            self._program.communicate(timeout=LIMIT)
        except BaseException:
            self._program.kill()
            self._program.communicate()
            raise


class RealHome:
    """The home FOLDER/home, with SUPERVISORS. To be closed: whatever runs is ended."""

    def __init__(self, folder: Path, supervisors: Supervisors) -> None:
        self.path = folder / "home"
        self.path.mkdir(mode=0o700, exist_ok=True)
        self.store = Store(self.path)
        self.jobs = self.store.jobs
        self.supervisors = supervisors
        self.supervisor = 0

    # -- supervisors --------------------------------------------------------------------------

    def start(self, *die_at: str) -> int:
        """A new supervisor, which dies around a method if one is named; its pid."""
        self.supervisor = self.supervisors.ask("start", str(self.path), *die_at)
        return self.supervisor

    def kill(self) -> None:
        """SIGKILL to the supervisor."""
        self._ended("kill")

    def await_death(self) -> None:
        """Wait until the supervisor has died by itself."""
        self._ended("dead")

    def leave(self) -> None:
        """The supervisor goes as it should."""
        self._ended("leave")

    def _ended(self, how: str) -> None:
        self.supervisors.ask(how)
        self.supervisor = 0

    # -- clients ------------------------------------------------------------------------------

    def submit(self, name: str, *argv: str, environ: dict[str, str] | None = None, **request: Any) -> Job:
        """A job of that name and id."""
        asked = Request(argv, **request)
        submission = Submission(name, name, time.time(), asked.sinks)
        return self.jobs.submit(submission, asked, Context({**os.environ, **(environ or {})}), Moment.now())[0]

    def stop(self, name: str, grace: float | None = None) -> Job:
        """Ask for a stop."""
        wish = StopWish(time.time(), os.getpid(), os.getuid(), "a test", grace)
        return self.jobs.stop(name, wish, killed(self.job(name), wish, Moment.now()), Moment.now())

    def suspend(self, name: str) -> Job:
        return self.jobs.suspend(name, "a test", Moment.now())

    def resume(self, name: str) -> Job:
        return self.jobs.resume(name, "a test", Moment.now())

    def job(self, name: str) -> Job:
        found = self.jobs.job(name)
        assert found is not None, name
        return found

    def until(self, name: str, *phases: Phase) -> Job:
        """Wait until the job is in one of PHASES (none given: terminal)."""
        wanted = phases or TERMINAL
        until(lambda: self.job(name).phase in wanted, lambda: f"{name} is not {wanted}: {self.job(name)}")
        return self.job(name)

    # -- attempts -----------------------------------------------------------------------------

    def place(self, name: str, number: int = 1) -> Path:
        """The attempt's directory."""
        return self.path / "jobs" / f"{name}.{number}"

    def pids(self, name: str, number: int = 1) -> tuple[int, int]:
        """The guard's and the driver's."""
        with Guard.connect(self.place(name, number) / "socket") as guard:
            return guard.guard_pid, guard.pid

    def close(self) -> None:
        """End all of it."""
        try:
            if self.supervisor:
                self.kill()  # first: it would start more
            for place in (self.path / "jobs").glob("*"):
                with contextlib.suppress(GuardError, OSError), Guard.connect(place / "socket") as guard:
                    guard.stop(grace=0)
                    guard.wait(LIMIT)
                    guard.done()
        finally:
            self.store.close()
