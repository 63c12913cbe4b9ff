"""The fake backend does what every backend has to do, as far as nothing real is needed; and what its script says."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from raydp_wrap.model import Attempt, Launch, Limits, Reason, TerminalState
from raydp_wrap.testing import AppId, BackendContract, FakeBackend, FakeClock, Held, Script

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path
    from typing import Any

pytestmark = pytest.mark.requirement("plugin-3.2", "plugin-3.7")


def scripted(_: Attempt, launch: Launch) -> Script:
    word, *rest = launch.argv
    if word == "exit":
        return Script(code=int(rest[0]))
    if word == "print":
        data = bytes.fromhex(rest[0])
        return Script((data[:7], 0.001, data[7:]), code=0)
    if word == "fail":
        return Script(start_error="there is no such program")
    return Script((b"ready\n",), heeds_stop=word != "ignore")


class TestFake(BackendContract):
    other_processes = False

    @pytest.fixture(autouse=True)
    def _first(self) -> None:
        self.first = FakeBackend(scripted)

    def make_backend(self) -> FakeBackend:
        return self.first.again()

    def ends_with(self, code: int) -> Launch:
        return Launch(("exit", str(code)))

    def runs_until_stopped(self) -> Launch:
        return Launch(("run",))

    def ignores_stop(self) -> Launch:
        return Launch(("ignore",))

    def prints(self, data: bytes) -> Launch:
        return Launch(("print", data.hex()))

    def counted(self, starts: Path, gate: Path) -> None:
        """Nothing is started."""

    def leaves_children(self, mark: str, *, ends: bool) -> None:
        """The same."""

    def cannot_start(self) -> Launch:
        return Launch(("fail",))


ATTEMPT = Attempt("s-1", 1, 0.0)


def drive(what: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(what, 30))


def test_an_hour_s_script_takes_no_time() -> None:
    async def scenario() -> None:
        clock = FakeClock()
        began = clock.time()
        script = Script((b"one", 3600.0, AppId("app-1"), 1800.0, b"two"), code=4)
        backend = FakeBackend(script, clock)
        held = Held(await backend.launch(ATTEMPT, Launch(("job",)), Limits()), ATTEMPT)
        await clock.run_for(3599)
        assert await held.output() == b"one"
        assert [seen.app_id for seen in held.observations] == [None]
        clock.jump(-86400)
        await clock.run_for(1)
        assert [seen.app_id for seen in held.observations] == [None, "app-1"]
        assert held.running.save() == {"app_id": "app-1"}
        await clock.run_for(1799)
        assert not held.observations[-1].ended
        await clock.run_for(1)
        outcome = await held.end()
        assert (outcome.state, outcome.exit_code) == (TerminalState.FAILED, 4)
        assert outcome.ended_at == began - 86400 + 5400
        assert await held.output() == b"onetwo"
        assert [launch.argv for _, launch, _ in backend.launched] == [("job",)]
        await held.close()

    drive(scenario())


def test_a_deadline_and_its_grace_take_no_time_either() -> None:
    async def scenario() -> None:
        clock = FakeClock()
        backend = FakeBackend(Script(heeds_stop=False), clock)
        limits = Limits(grace=60, active_deadline=600)
        held = Held(await backend.launch(ATTEMPT, Launch(("job",)), limits), ATTEMPT)
        await clock.run_for(659)
        assert not held.observations[-1].ended
        await clock.run_for(1)
        outcome = await held.end()
        assert (outcome.state, outcome.reason, outcome.signal) == (TerminalState.FAILED, Reason.DEADLINE_EXCEEDED, 9)
        await held.close()

    drive(scenario())


@pytest.mark.parametrize("how", ["scripted", "meanwhile", "never there"])
def test_a_job_can_be_lost(how: str) -> None:
    async def scenario() -> None:
        backend = FakeBackend(Script(lost=True) if how == "scripted" else Script())
        if how == "never there":
            running = await backend.restore(ATTEMPT, {})
        else:
            running = await backend.launch(ATTEMPT, Launch(("job",)), Limits())
        held = Held(running, ATTEMPT)
        await held.running_seen()
        if how == "meanwhile":
            backend.lose(ATTEMPT)
        assert (await held.end()).reason is Reason.JOB_LOST
        await held.close()

    drive(scenario())


def test_a_clock_calls_in_order_and_not_what_was_cancelled() -> None:
    clock, called = FakeClock(), []
    for seconds in (3.0, 1.0, 2.0):
        clock.call_later(seconds, lambda seconds=seconds: called.append((seconds, clock.monotonic())))
    clock.call_later(1.5, lambda: called.append((0.0, 0.0))).cancel()
    assert clock.next_timer() == 1.0
    clock.advance(2)
    assert called == [(1.0, 1.0), (2.0, 2.0)]
    clock.jump(100)
    clock.advance(0.5)
    assert called == [(1.0, 1.0), (2.0, 2.0)]
    assert (clock.monotonic(), clock.time()) == (2.5, 1_740_830_502.5)
    clock.advance(10)
    assert called[-1] == (3.0, 3.0)
    assert clock.next_timer() is None


def test_a_timer_may_set_the_next() -> None:
    clock, called = FakeClock(), []

    def tick() -> None:
        called.append(clock.monotonic())
        clock.call_later(1, tick)

    clock.call_later(1, tick)
    clock.advance(3.5)
    assert called == [1.0, 2.0, 3.0]


def test_who_waits_for_an_event_has_the_clock_s_patience() -> None:
    async def scenario() -> None:
        clock, event = FakeClock(), asyncio.Event()
        waiting = asyncio.ensure_future(clock.wait_for(event, 5))
        sleeping = asyncio.ensure_future(clock.sleep(5))
        await clock.run_for(4.9)
        assert not waiting.done()
        assert not sleeping.done()
        await clock.run_for(0.1)
        await clock.settle()
        assert sleeping.done()
        assert waiting.result() is False
        waiting = asyncio.ensure_future(clock.wait_for(event, 5))
        await clock.settle()
        event.set()
        assert await waiting is True
        assert clock.next_timer() is None, "nothing is left of what was waited for"

    drive(scenario())
