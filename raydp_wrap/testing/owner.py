"""Another process that launches an attempt, or adopts one: it can be killed, which a test can't do to itself."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from raydp_wrap.model import Attempt, Launch, Limits
from raydp_wrap.outcome import from_dict, to_dict
from raydp_wrap.testing.elsewhere import command, imported
from raydp_wrap.testing.holding import Held

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Self

    from raydp_wrap.backend import Running
    from raydp_wrap.model import Outcome

__all__ = ["Owner"]

_LONGEST_FAILURE = 4000


class Owner:
    """A process with a backend that MAKER (``module:name``) makes of PLACE. Leaving it kills it.

    With SAVED it restores ATTEMPT, with LAUNCH it launches it.
    """

    def __init__(
        self,
        maker: str,
        place: str,
        attempt: Attempt,
        *,
        launch: Launch | None = None,
        limits: Limits | None = None,
        saved: Mapping[str, Any] | None = None,
    ) -> None:
        request = {
            "maker": maker,
            "place": place,
            "attempt": asdict(attempt),
            "launch": None if launch is None else {"argv": launch.argv, "cwd": launch.cwd},
            "limits": asdict(limits if limits is not None else Limits()),
            "saved": saved,
        }
        self._process = subprocess.Popen(
            command(f"{__name__}:main"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ},
            start_new_session=True,
        )
        self._write(request)

    def _write(self, request: object) -> None:
        assert self._process.stdin is not None  # noqa: S101 - for mypy
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()

    def _read(self) -> Any:
        assert self._process.stdout is not None  # noqa: S101 - for mypy
        assert self._process.stderr is not None  # noqa: S101
        line = self._process.stdout.readline()
        if not line:
            said = self._process.stderr.read().decode(errors="replace")
            raise AssertionError(f"the other process failed: {said[-_LONGEST_FAILURE:]}")
        return json.loads(line)

    def saved(self) -> dict[str, Any]:
        """Wait until it holds the attempt; what it saved."""
        found: dict[str, Any] = self._read()
        return found

    def end(self) -> tuple[Outcome, bytes]:
        """Have it wait for the attempt's end, after :meth:`saved`; the outcome, and the whole output."""
        self._write("end")
        found = self._read()
        return from_dict(found["outcome"]), bytes.fromhex(found["output"])

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()


def main() -> None:
    """The other process's side."""
    asyncio.run(_own(json.loads(sys.stdin.buffer.readline())))


async def _own(request: Mapping[str, Any]) -> None:
    attempt = Attempt(**request["attempt"])
    backend = imported(request["maker"])(request["place"])
    running: Running
    if request["saved"] is not None:
        running = await backend.restore(attempt, request["saved"])
    else:
        launch = Launch(tuple(request["launch"]["argv"]), cwd=request["launch"]["cwd"])
        running = await backend.launch(attempt, launch, Limits(**request["limits"]))
    held = Held(running, attempt)
    _say(running.save())
    # In a thread: what is observed goes on meanwhile.
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.readline)
    outcome = await held.end()
    _say({"outcome": to_dict(outcome), "output": (await held.output()).hex()})
    await held.close()


def _say(what: object) -> None:
    sys.stdout.write(json.dumps(what, default=dict) + "\n")
    sys.stdout.flush()
