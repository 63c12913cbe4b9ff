"""An attempt being held: everything that is observed of it, from its launch to its end."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from raydp_wrap.model import Submission
from raydp_wrap.outcome import decide

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from typing_extensions import Self

    from raydp_wrap.backend import Observation, Running
    from raydp_wrap.model import Attempt, Outcome

__all__ = ["Held"]


class Held:
    """RUNNING, observed by a task of its own until it has ended. To be closed; or left, which ends it first.

    ``observations`` are those so far.
    """

    def __init__(self, running: Running, attempt: Attempt) -> None:
        self.running = running
        self.attempt = attempt
        self.observations: list[Observation] = []
        self._seen = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._observe())

    async def _observe(self) -> None:
        try:
            async for observation in self.running.observe():
                self.observations.append(observation)
                self._seen.set()
        finally:
            self._seen.set()

    async def running_seen(self) -> None:
        """Wait until it was observed to run, or its observation is over."""
        while not self._task.done() and not any(seen.running for seen in self.observations):
            self._seen.clear()
            await self._seen.wait()

    async def end(self) -> Outcome:
        """Wait for its end; the outcome by all the evidence there is."""
        await self._task
        last = self.observations[-1]
        submission = Submission(self.attempt.submission_id, "held", self.attempt.created_at)
        evidence = [piece for seen in self.observations for piece in seen.evidence]
        return decide(
            evidence,
            submission,
            attempt=self.attempt.number,
            remarks=last.remarks,
            started_at=last.started_at,
            ended_at=last.ended_at,
            rusage=last.usage,
        )

    async def output(self, *, offset: int = 0, follow: bool = False) -> bytes:
        """What it has printed, as :meth:`Running.logs` has it."""
        return b"".join([chunk async for chunk in self.running.logs(offset=offset, follow=follow)])

    async def output_until(self, word: bytes) -> bytes:
        """Follow what it prints until WORD is in it, or to its end."""
        found = b""
        async with contextlib.aclosing(_generator(self.running.logs(follow=True))) as chunks:
            async for chunk in chunks:
                found += chunk
                if word in found:
                    break
        return found

    async def close(self) -> None:
        """Stop to observe it, and let go of it: it runs on."""
        self._task.cancel()
        await asyncio.wait([self._task])
        await self.running.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self.running.stop(grace=0, label="the test is over")
            await asyncio.wait([self._task])
        finally:
            await self.close()


async def _generator(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """CHUNKS as something that can be closed, whatever kind of iterator it is."""
    try:
        async for chunk in chunks:
            yield chunk
    finally:
        close = getattr(chunks, "aclose", None)
        if close is not None:
            await close()
