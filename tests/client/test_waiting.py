"""Waiting by events only: awaited by the hundred on one connection, and without a look at the clock."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from programs.facts import environment, eventually, open_fds
from supervised import end, until

from raydp_wrap.errors import SupervisorError
from raydp_wrap.model import TerminalState
from raydp_wrap.request import Phase

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

    from raydp_wrap import Client, Job

AWAIT = pytest.mark.requirement("jobs-4.2-await")


def drive(what: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(what, 60))


@AWAIT
def test_awaited(client: Client) -> None:
    async def scenario() -> None:
        job = client.submit(["sh", "-c", "exit 4"])
        assert (await job).exit_code == 4
        assert (await job).exit_code == 4

    drive(scenario())


@AWAIT
def test_many_are_awaited_on_one_connection(client: Client) -> None:
    async def scenario() -> None:
        jobs = [client.submit(["true"], suspend=True) for _ in range(50)]
        before = len(open_fds())
        waiting = [asyncio.ensure_future(one(job)) for job in jobs]
        await until(lambda: client._access.gathering()._watching)
        assert len(open_fds()) <= before + 1
        for job in jobs:
            job.stop()
        outcomes = await asyncio.gather(*waiting)
        assert [outcome.submission_id for outcome in outcomes] == [job.id for job in jobs]
        assert len(open_fds()) == before  # nobody waits any more

    drive(scenario())


async def one(job: Job) -> Any:
    return await job


@AWAIT
def test_one_that_gives_up_takes_nothing_from_the_others(client: Client) -> None:
    async def scenario() -> None:
        job = client.submit(["true"], suspend=True)
        impatient, patient = asyncio.ensure_future(one(job)), asyncio.ensure_future(one(job))
        await asyncio.sleep(0)
        impatient.cancel()
        with pytest.raises(asyncio.CancelledError):
            await impatient
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(one(job), 0.01)
        job.stop()
        assert (await patient).state is TerminalState.KILLED

    drive(scenario())


@AWAIT
def test_another_supervisor_is_ensured_and_the_loop_goes_on(client: Client, home: Path) -> None:
    async def scenario() -> None:
        job = client.submit(["true"], suspend=True)
        waiting = asyncio.ensure_future(one(job))
        await until(lambda: client._access.gathering()._watching)
        before = client._access.gathering()._watching._bell.pid
        await asyncio.to_thread(end, home)
        await until(lambda: client._access.gathering()._watching)
        assert client._access.gathering()._watching._bell.pid != before
        await asyncio.to_thread(job.stop)
        assert (await waiting).state is TerminalState.KILLED

    drive(scenario())


@AWAIT
def test_where_none_can_be_had_those_who_wait_are_told(
    client: Client, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        job = client.submit(["true"], suspend=True)
        waiting = [asyncio.ensure_future(one(job)) for _ in range(2)]
        await until(lambda: client._access.gathering()._watching)
        monkeypatch.setattr(sys, "executable", "/nonexistent/python")
        await asyncio.to_thread(end, home)
        for one_of_them in waiting:
            with pytest.raises(SupervisorError, match="can't be started"):
                await one_of_them
        with pytest.raises(SupervisorError, match="can't be started"):
            await job
        monkeypatch.undo()
        assert job.phase is Phase.SUSPENDED

    drive(scenario())


@AWAIT
def test_whoever_comes_while_the_last_ones_leave_is_connected(client: Client) -> None:
    async def scenario() -> None:
        job = client.submit(["true"], suspend=True)
        before = len(open_fds())
        for _ in range(20):
            leaving = asyncio.ensure_future(one(job))
            await asyncio.sleep(0)  # it has begun to connect
            leaving.cancel()
            coming = asyncio.ensure_future(one(job))
            await asyncio.sleep(0.002)
            coming.cancel()
            await asyncio.gather(leaving, coming, return_exceptions=True)
        staying = asyncio.ensure_future(one(job))
        await until(lambda: client._access.gathering()._watching)
        await until(lambda: len(open_fds()) == before + 1)
        job.stop()
        assert (await staying).state is TerminalState.KILLED

    drive(scenario())


WAITER = """
import sys, raydp_wrap
job = raydp_wrap.Client(sys.argv[1]).job(sys.argv[2])
if sys.argv[3] == "wait":
    job.wait()
elif sys.argv[3] == "logs":
    list(job.logs(follow=True))
else:
    import asyncio
    async def main():
        await job
    asyncio.run(main())
print("done", flush=True)
"""


def switches(pid: int) -> int:
    """How often its threads have gone to sleep: who polls does so again and again."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/status", encoding="ascii") as file:
            total += sum(int(line.split()[1]) for line in file if "voluntary_ctxt" in line and "non" not in line)
    return total


@AWAIT
@pytest.mark.requirement("jobs-2.1-events", "jobs-4.2-wait", "jobs-4.2-logs")
@pytest.mark.parametrize("how", ["wait", "logs", "await"])
def test_who_waits_sleeps_until_there_is_something_to_hear(client: Client, how: str) -> None:
    job = client.submit(["sleep", "1000"])
    eventually(lambda: job.phase is Phase.RUNNING, "it runs")
    with subprocess.Popen(
        [sys.executable, "-c", WAITER, str(client.home), job.id, how], stdout=subprocess.PIPE, env=environment()
    ) as waiter:
        try:
            eventually(lambda: connected(waiter.pid) and settled(waiter.pid), "it waits")
            quiet = switches(waiter.pid)
            # Things happen meanwhile, to others: a job from its submission to its end, which takes its time.
            assert client.submit(["sleep", "0.3"]).wait(30).state is TerminalState.FINISHED
            if how != "await":  # which hears of all, on the one connection that the loop has
                assert switches(waiter.pid) == quiet
            eventually(lambda: settled(waiter.pid), "it waits again")
            again = switches(waiter.pid)
            subprocess.run(["sleep", "0.5"], check=True)
            assert switches(waiter.pid) == again
            job.stop(grace=0)
            assert waiter.communicate(timeout=30)[0] == b"done\n"
        finally:
            waiter.kill()


def settled(pid: int) -> bool:
    """Whether it does nothing for some moments: an answer that it waits for may take one."""
    before = switches(pid)
    for _ in range(4):
        time.sleep(0.05)
        if switches(pid) != before or not threads_asleep(pid):
            return False
    return True


def threads_asleep(pid: int) -> bool:
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/stat", encoding="ascii") as file:
            if file.read().rpartition(")")[2].split()[0] != "S":
                return False
    return True


def connected(pid: int) -> bool:
    """Whether PID has a socket, which it has only while it waits."""
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            if os.readlink(f"/proc/{pid}/fd/{fd}").startswith("socket:"):
                return True
    return False
