# ruff: noqa: D102, S101, PLR2004 - assertions are what this is for, and a test is named by its clause of the contract
"""What every backend has to do, as tests: a backend's author subclasses :class:`BackendContract`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from abc import ABC
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

import pytest

from raydp_wrap.errors import StartError
from raydp_wrap.model import Attempt, Launch, Limits, Reason, TerminalState
from raydp_wrap.testing.elsewhere import importable
from raydp_wrap.testing.holding import Held
from raydp_wrap.testing.leftovers import leftovers
from raydp_wrap.testing.owner import Owner

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from pathlib import Path

    from raydp_wrap.backend import Backend
    from raydp_wrap.model import Outcome

__all__ = ["BackendContract", "BackendFactory"]

T = TypeVar("T")

_EVERY_BYTE = bytes(range(256)) * 4 + b"\r\n\n\xff no newline at the end"
_FOR_EVER = "while :; do sleep 1; done"
_COUNTED = 'echo started >> "$1"; read _ < "$2"; printf done; exit 7'
_LEAVES = f"""
sh -c '{_FOR_EVER}' "$1" &
setsid sh -c 'trap "" TERM; {_FOR_EVER}' "$1" &
(setsid sh -c '{_FOR_EVER}' "$1" &)
echo ready
[ "$2" = ends ] && exit 3
{_FOR_EVER}
"""


class Gate:
    """Below DIRECTORY a file that counts starts, and a FIFO that holds up who has started."""

    def __init__(self, directory: Path) -> None:
        self.starts = directory / "starts"
        self.path = directory / "gate"
        os.mkfifo(self.path)
        # For both directions: to open it waits for nobody, and what is written waits for who reads.
        self._fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        self.is_open = False

    def open(self) -> None:
        """Let one through, whenever it comes; once."""
        if not self.is_open:
            os.write(self._fd, b"go\n")
            self.is_open = True

    def count(self) -> int:
        """How many have started."""
        return len(self.starts.read_text(encoding="ascii").split()) if self.starts.exists() else 0

    async def reached(self) -> None:
        """Wait until one has started."""
        while not self.count():  # noqa: ASYNC110 - a file that grows, seen without what is being tested
            await asyncio.sleep(0.005)

    def close(self) -> None:
        """Let go of the FIFO."""
        os.close(self._fd)


class BackendFactory(Protocol):
    """What makes a backend for the place that the fixture ``place`` names: its class, or a function."""

    def __call__(self, place: str, /) -> Backend:
        """A new backend, as each process makes one."""


class BackendContract(ABC):
    """Subclass it as ``class TestMine(BackendContract)``, and say how a backend is made.

    The launches are right for a backend that runs a launch's ``argv`` with this machine's programs and files; others
    override those methods. One that returns None has its tests skipped. Each test gets a new instance, and an
    event loop of its own.
    """

    #: What makes a backend, importable by other processes.
    factory: ClassVar[BackendFactory]
    #: Attempts can be found by another process. False skips the tests of that.
    other_processes: ClassVar[bool] = True
    #: How many seconds each wait may take here.
    patience: ClassVar[float] = 60.0
    #: A deadline (seconds) as short as the backend can keep.
    short: ClassVar[float] = 0.3

    @pytest.fixture
    def place(self, tmp_path: Path) -> str:
        """Where the test's attempts are, as the factory takes it: by default a directory that is not there yet."""
        return str(tmp_path / "backend")

    @pytest.fixture(autouse=True)
    def _at(self, place: str) -> None:
        self.at = place

    def make_backend(self) -> Backend:
        """A backend, as another process would have it."""
        return type(self).factory(self.at)

    # Launches.

    def ends_with(self, code: int) -> Launch:
        """Ends with exit code CODE."""
        return Launch(("/bin/sh", "-c", f"exit {code}"))

    def runs_until_stopped(self) -> Launch:
        """Prints ``ready`` and runs until it is asked to stop."""
        return Launch(("/bin/sh", "-c", "echo ready; exec sleep 1000"))

    def ignores_stop(self) -> Launch | None:
        """Prints ``ready`` and does not heed the stop signal from then on."""
        return Launch(("/bin/sh", "-c", f'trap "" TERM INT HUP; echo ready; {_FOR_EVER}'))

    def prints(self, data: bytes) -> Launch:
        """Prints DATA, half of it on each of its streams, and ends with 0."""
        code = "import os, sys; d = bytes.fromhex(sys.argv[1]); h = len(d) // 2; os.write(1, d[:h]); os.write(2, d[h:])"
        return Launch((sys.executable, "-I", "-S", "-c", code, data.hex()))

    def counted(self, starts: Path, gate: Path) -> Launch | None:
        """Appends a line to STARTS when it starts, reads one from the FIFO GATE, prints ``done``, ends with 7."""
        return Launch(("/bin/sh", "-c", _COUNTED, "counted", str(starts), str(gate)))

    def leaves_children(self, mark: str, *, ends: bool) -> Launch | None:
        """Starts children, daemons too, with MARK in their arguments, prints ``ready``, and ends with 3 or runs on."""
        return Launch(("/bin/sh", "-c", _LEAVES, "leaves", mark, "ends" if ends else "runs"))

    def cannot_start(self) -> Launch | None:
        """Can't be started."""
        return Launch(("/nonexistent/program",))

    # What the tests use.

    def attempt(self, number: int = 1, name: str = "contract") -> Attempt:
        """An attempt; another number is another one."""
        return Attempt(f"20250301-120000-{name}", number, 1740830400.0)

    def drive(self, what: Coroutine[Any, Any, T]) -> T:
        """Run WHAT in an event loop of its own, as long as the patience lasts."""

        async def limited() -> T:
            return await asyncio.wait_for(what, self.patience)

        return asyncio.run(limited())

    async def hold(self, launch: Launch, number: int = 1, **limits: Any) -> Held:
        """A new attempt, launched and observed."""
        attempt = self.attempt(number)
        return Held(await self.make_backend().launch(attempt, launch, Limits(**limits)), attempt)

    async def outcome_of(self, launch: Launch, **limits: Any) -> Outcome:
        """How an attempt of LAUNCH ends by itself."""
        async with await self.hold(launch, **limits) as held:
            return await held.end()

    def needed(self, launch: Launch | None) -> Launch:
        """LAUNCH; without one the test is skipped."""
        if launch is None:
            pytest.skip("there is no such launch for this backend")
        return launch

    def owner(self, **what: Any) -> Owner:
        """Another process that launches the attempt, or restores it."""
        if not self.other_processes:
            pytest.skip("other_processes is False: no other process finds an attempt")
        return Owner(importable(type(self).factory), self.at, self.attempt(), **what)

    @pytest.fixture
    def gate(self, tmp_path: Path) -> Iterator[Gate]:
        """What holds up the launch :meth:`counted`."""
        with contextlib.closing(Gate(tmp_path)) as gate:
            yield gate

    def counted_at(self, gate: Gate) -> Launch:
        """The launch that waits at GATE."""
        return self.needed(self.counted(gate.starts, gate.path))

    # The contract.

    @pytest.mark.parametrize("code", [0, 1, 7, 255])
    def test_the_exit_code_is_the_outcome(self, code: int) -> None:
        outcome = self.drive(self.outcome_of(self.ends_with(code)))
        assert outcome.exit_code == code
        assert outcome.signal is None
        if code == 0:
            assert (outcome.state, outcome.reason) == (TerminalState.FINISHED, None)
        else:
            assert (outcome.state, outcome.reason) == (TerminalState.FAILED, Reason.APP_FAILED)
        assert outcome.attempt == 1

    def test_it_runs_and_then_has_ended(self) -> None:
        async def scenario() -> None:
            async with await self.hold(self.runs_until_stopped()) as held:
                await held.output_until(b"ready")
                await held.running_seen()
                assert held.observations[0].running
                assert not any(seen.ended for seen in held.observations)
                await held.running.stop(grace=self.patience)
                await held.end()
                *before, last = held.observations
                assert last.ended
                assert last.evidence, "the end needs evidence: nobody decides without"
                assert not any(seen.ended for seen in before)
                assert last.ended_at is not None
                assert last.started_at is None or last.started_at <= last.ended_at

        self.drive(scenario())

    def test_a_stop_is_a_kill_by_who_asked(self) -> None:
        async def scenario() -> Outcome:
            async with await self.hold(self.runs_until_stopped(), grace=self.patience) as held:
                await held.output_until(b"ready")
                await held.running.stop(label="somebody's wish")
                return await held.end()

        outcome = self.drive(scenario())
        assert (outcome.state, outcome.reason) == (TerminalState.KILLED, Reason.STOP_REQUESTED)
        assert any("somebody's wish" in piece.observation for piece in outcome.evidence), outcome.evidence

    def test_who_does_not_heed_a_stop_is_ended_after_its_grace(self) -> None:
        async def scenario() -> Outcome:
            async with await self.hold(self.needed(self.ignores_stop()), grace=self.short) as held:
                await held.output_until(b"ready")
                await held.running.stop()
                return await held.end()

        outcome = self.drive(scenario())
        assert (outcome.state, outcome.reason) == (TerminalState.KILLED, Reason.STOP_REQUESTED)

    def test_a_second_stop_shortens_the_grace(self) -> None:
        async def scenario() -> Outcome:
            async with await self.hold(self.needed(self.ignores_stop()), grace=10 * self.patience) as held:
                await held.output_until(b"ready")
                await held.running.stop(label="first")
                await held.running.stop(grace=10 * self.patience, label="second")
                await held.running.stop(grace=0, label="third")
                return await held.end()

        outcome = self.drive(scenario())
        assert outcome.state is TerminalState.KILLED
        assert any("first" in piece.observation for piece in outcome.evidence), "who asked first is who asked"

    def test_a_stop_after_the_end_changes_nothing(self) -> None:
        async def scenario() -> Outcome:
            async with await self.hold(self.ends_with(0)) as held:
                outcome = await held.end()
                await held.running.stop(label="too late")
                await held.running.ready()
                again = Held(await self.make_backend().restore(held.attempt, held.running.save()), held.attempt)
                async with again:
                    assert (await again.end()).state is outcome.state
                return outcome

        assert self.drive(scenario()).state is TerminalState.FINISHED

    def test_an_active_deadline_is_kept(self) -> None:
        async def scenario() -> Outcome:
            async with await self.hold(self.runs_until_stopped(), grace=1.0, active_deadline=self.short) as held:
                return await held.end()

        outcome = self.drive(scenario())
        assert (outcome.state, outcome.reason) == (TerminalState.FAILED, Reason.DEADLINE_EXCEEDED)

    def test_a_start_deadline_is_kept_unless_it_is_ready(self) -> None:
        async def scenario() -> Outcome:
            limits = {"grace": 1.0, "start_deadline": 2 * self.short}
            async with (
                await self.hold(self.runs_until_stopped(), 1, **limits) as late,
                await self.hold(self.runs_until_stopped(), 2, **limits) as ready,
            ):
                await ready.running.ready()
                outcome = await late.end()
                assert not any(seen.ended for seen in ready.observations)
                return outcome

        outcome = self.drive(scenario())
        assert (outcome.state, outcome.reason) == (TerminalState.FAILED, Reason.START_TIMEOUT)

    def test_what_can_t_start_says_so_and_leaves_nothing(self) -> None:
        wrong = self.needed(self.cannot_start())

        async def scenario() -> Outcome:
            with pytest.raises(StartError):
                await self.hold(wrong)
            # Nothing of it: the very same attempt can be launched after all.
            return await self.outcome_of(self.ends_with(7))

        assert self.drive(scenario()).exit_code == 7

    def test_two_attempts_don_t_mix(self) -> None:
        async def scenario() -> None:
            async with (
                await self.hold(self.runs_until_stopped(), 1) as first,
                await self.hold(self.prints(b"second"), 2) as second,
            ):
                assert (await second.end()).state is TerminalState.FINISHED
                assert await second.output() == b"second"
                assert b"second" not in await first.output_until(b"ready")
                assert not any(seen.ended for seen in first.observations)
                await first.running.stop()
                assert (await first.end()).state is TerminalState.KILLED

        self.drive(scenario())

    # Output.

    def test_the_output_is_exact(self) -> None:
        async def scenario() -> None:
            async with await self.hold(self.prints(_EVERY_BYTE)) as held:
                followed = await held.output(follow=True)
                assert followed == _EVERY_BYTE, "following ends when the attempt has, with all there was"
                await held.end()
                assert await held.output() == _EVERY_BYTE
                assert await held.output(follow=True) == _EVERY_BYTE
                for offset in (1, 255, 256, len(_EVERY_BYTE) - 1):
                    assert await held.output(offset=offset) == _EVERY_BYTE[offset:]
                assert await held.output(offset=len(_EVERY_BYTE)) == b""
                assert await held.output(offset=len(_EVERY_BYTE) + 1, follow=True) == b""

        self.drive(scenario())

    def test_output_can_be_followed_by_many_while_it_runs(self) -> None:
        async def scenario() -> None:
            async with await self.hold(self.runs_until_stopped()) as held:
                readers = [held.output_until(b"ready") for _ in range(3)]
                assert all(b"ready" in found for found in await asyncio.gather(*readers))
                assert b"ready" in await held.output(), "without following it ends at its present end"
                waiting = asyncio.ensure_future(held.output(follow=True))
                await held.running.stop()
                assert b"ready" in await waiting
                await held.end()

        self.drive(scenario())

    # Owners come and go.

    def test_what_is_saved_is_json(self) -> None:
        async def scenario() -> None:
            async with await self.hold(self.runs_until_stopped()) as held:
                saved = held.running.save()
                assert json.loads(json.dumps(saved)) == saved

        self.drive(scenario())

    def test_it_runs_on_when_it_is_let_go(self) -> None:
        async def scenario() -> Outcome:
            first = await self.hold(self.runs_until_stopped())
            await first.output_until(b"ready")
            saved = json.loads(json.dumps(first.running.save()))
            await first.close()
            async with Held(await self.make_backend().restore(first.attempt, saved), first.attempt) as held:
                await held.running_seen()
                assert not any(seen.ended for seen in held.observations)
                await held.running.stop(label="the next owner")
                return await held.end()

        outcome = self.drive(scenario())
        assert outcome.state is TerminalState.KILLED
        assert any("the next owner" in piece.observation for piece in outcome.evidence)

    def test_an_attempt_is_launched_once(self, gate: Gate) -> None:
        launch = self.counted_at(gate)

        async def scenario() -> None:
            async with await self.hold(launch) as held:
                for open_gate in (False, True, False):  # while it runs, and when it has ended
                    if open_gate:
                        gate.open()
                        await held.end()
                    again = Held(await self.make_backend().launch(held.attempt, launch, Limits()), held.attempt)
                    if gate.is_open:
                        assert (await again.end()).exit_code == 7
                    await again.close()

        self.drive(scenario())
        assert gate.count() == 1

    @pytest.mark.parametrize("saved", [True, False], ids=["saved", "not saved"])
    @pytest.mark.parametrize("held", [True, False], ids=["ends while held", "ends while nobody holds it"])
    def test_another_process_adopts_it(self, gate: Gate, *, held: bool, saved: bool) -> None:
        launch = self.counted_at(gate)
        with leftovers(self.patience) as left:
            with self.owner(launch=launch) as first:
                found = first.saved()
                self.drive(gate.reached())
                first.kill()
            if not held:
                gate.open()
            with self.owner(saved=found) if saved else self.owner(launch=launch) as second:
                assert second.saved().keys() == found.keys()
                gate.open()
                outcome, output = second.end()
        assert not left
        assert (outcome.state, outcome.exit_code) == (TerminalState.FAILED, 7)
        assert output == b"done"
        assert gate.count() == 1, "it was started twice"

    @pytest.mark.parametrize("ends", [True, False], ids=["ended", "stopped"])
    def test_nothing_is_left_of_it(self, *, ends: bool) -> None:
        mark = f"contract-{os.urandom(8).hex()}"
        launch = self.needed(self.leaves_children(mark, ends=ends))

        async def scenario() -> Outcome:
            async with await self.hold(launch, grace=self.short) as held:
                await held.output_until(b"ready")
                if not ends:
                    await held.running.stop()
                return await held.end()

        outcome = self.drive(scenario())
        assert outcome.exit_code == 3 if ends else outcome.state is TerminalState.KILLED
        assert _marked(mark) == []

    def test_what_is_forgotten_is_forgotten(self) -> None:
        async def scenario() -> None:
            async with await self.hold(self.prints(b"words")) as held:
                await held.end()
                saved = held.running.save()
            backend = self.make_backend()
            await backend.forget(held.attempt, saved)
            await backend.forget(held.attempt, saved)

        self.drive(scenario())


def _marked(mark: str) -> list[str]:
    """The command lines that hold MARK."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
            line = file.read()
            if mark.encode() in line and int(pid) != os.getpid():
                found.append(line.replace(bytes(1), b" ").decode(errors="replace"))
    return found
