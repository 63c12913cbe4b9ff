"""Changes as they come: in order, none lost, in a loop, in a thread, or one after another."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest
from supervised import end

from raydp_wrap import Client
from raydp_wrap.job import ChangeKind
from raydp_wrap.supervisor.background import ensure

if TYPE_CHECKING:
    from pathlib import Path

    from raydp_wrap.job import Change

pytestmark = pytest.mark.requirement("jobs-4.2-events")

LIFE = [ChangeKind.SUBMITTED, ChangeKind.BEGUN, ChangeKind.STARTED, ChangeKind.ENDED]


def of(job: Any, changes: list[Change]) -> list[ChangeKind]:
    return [change.kind for change in changes if change.submission_id == job.id]


def test_one_after_another(client: Client) -> None:
    changes = client.changes()
    job = client.submit(["true"])
    assert [next(changes).kind for _ in LIFE] == LIFE
    changes.close()  # type: ignore[attr-defined]
    again = client.changes(since=0)
    assert of(job, [next(again) for _ in LIFE]) == LIFE
    again.close()  # type: ignore[attr-defined]


def test_in_an_event_loop_which_goes_on(client: Client, home: Path) -> None:
    async def scenario() -> None:
        events = client.events()
        turns = 0

        async def beat() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0.001)

        beating = asyncio.ensure_future(beat())
        first = client.submit(["true"], suspend=True)
        heard = [await events.__anext__()]
        await asyncio.to_thread(end, home)
        await asyncio.to_thread(lambda: ensure(home).close())
        await asyncio.to_thread(first.resume)
        while heard[-1].kind is not ChangeKind.ENDED:
            heard.append(await events.__anext__())
        await events.aclose()  # type: ignore[attr-defined]
        beating.cancel()
        assert of(first, heard) == [ChangeKind.SUBMITTED, ChangeKind.RESUMED, *LIFE[1:]]
        assert turns > 1

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_callbacks_in_order_whatever_they_raise(home: Path) -> None:
    told: list[str] = []
    heard: list[Change] = []
    ended = threading.Event()

    def callback(change: Change) -> None:
        heard.append(change)
        if change.kind is ChangeKind.BEGUN:
            raise ValueError("on purpose")
        if change.kind is ChangeKind.ENDED:
            ended.set()

    with Client(home, tell=told.append) as client:
        listening = client.on(callback)
        jobs = [client.submit(["true"]) for _ in range(5)]
        for job in jobs:
            job.wait(30)
        while len([change for change in heard if change.kind is ChangeKind.ENDED]) < 5:
            assert ended.wait(30)
            ended.clear()
        listening.close()
        client.submit(["true"]).wait(30)
    assert [of(job, heard) for job in jobs] == [LIFE] * 5
    assert [change.seq for change in heard] == sorted(change.seq for change in heard)
    assert len(heard) == 20
    assert told == [
        f"a callback failed at change {c.seq}: ValueError('on purpose')" for c in heard if c.kind is LIFE[1]
    ]


def test_a_callback_may_close_its_own_listening(client: Client) -> None:
    closed = threading.Event()

    def callback(_: Change) -> None:
        listening.close()
        closed.set()

    listening = client.on(callback)
    client.submit(["true"], suspend=True).stop()
    assert closed.wait(30)
