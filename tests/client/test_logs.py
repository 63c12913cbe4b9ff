"""A job's output, while it runs and afterwards, attempt after attempt."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING

import pytest
from programs.facts import open_fds
from supervised import end, until

from raydp_wrap.errors import UsageError
from raydp_wrap.request import RetryPolicy

if TYPE_CHECKING:
    from pathlib import Path

    from raydp_wrap import Client

pytestmark = pytest.mark.requirement("jobs-4.2-logs")


def test_from_an_offset_the_last_lines_and_since(client: Client) -> None:
    job = client.submit(["sh", "-c", r"printf 'one\ntwo\nthr\377ee'; echo problem >&2"], split_output=True)
    job.wait(30)
    whole = b"one\ntwo\nthr\xffee"
    assert b"".join(job.logs()) == b"".join(job.logs(follow=True)) == whole
    assert b"".join(job.logs(offset=4)) == whole[4:]
    assert [chunk.offset for chunk in job.logs(offset=4)] == [4]
    assert b"".join(job.logs(tail=1)) == b"thr\xffee"
    assert b"".join(job.logs(tail=2, offset=9)) == whole[9:]
    assert b"".join(job.logs(since=0.0)) == whole
    assert b"".join(job.logs(stream="errors")) == b"problem\n"
    with pytest.raises(UsageError, match="no stream"):
        list(job.logs(stream="nonsense"))


def test_attempts_apart_and_followed_one_after_another(client: Client) -> None:
    job = client.submit(["sh", "-c", "echo $RAYDP_WRAP_ATTEMPT; exit 1"], retry=RetryPolicy(2, backoff_first=0.01))
    assert b"".join(job.logs(follow=True)) in (b"1\n2\n3\n", b"2\n3\n", b"3\n")
    assert job.wait(30).attempt == 3
    assert [b"".join(job.logs(attempt=number)) for number in (1, 2, 3, -1, -2)] == [
        b"1\n",
        b"2\n",
        b"3\n",
        b"2\n",
        b"1\n",
    ]
    assert b"".join(job.logs()) == b"3\n"
    for number in (4, -3):
        with pytest.raises(UsageError, match="no such attempt"):
            job.logs(attempt=number)


def test_followed_from_before_the_start_through_a_supervisor_s_end(client: Client, home: Path) -> None:
    os.mkfifo(home / "fifo")
    job = client.submit(["sh", "-c", f"echo one; read x < {home}/fifo; echo $x"], suspend=True)
    chunks = job.logs(follow=True)
    resuming = threading.Thread(target=job.resume)
    resuming.start()
    assert next(chunks) == b"one\n"
    resuming.join()
    end(home)
    (home / "fifo").write_text("two\n")
    assert list(chunks) == [b"two\n"]


def test_one_that_never_runs_has_none_and_ends(client: Client) -> None:
    job = client.submit(["true"], suspend=True)
    assert list(job.logs()) == []
    stopping = threading.Thread(target=job.stop)
    stopping.start()
    assert list(job.logs(follow=True)) == []
    stopping.join()
    broken = client.submit(["/nonexistent"])
    assert list(broken.logs(follow=True)) == []
    assert broken.wait(30).exit_code == 127


def test_in_an_event_loop(client: Client) -> None:
    async def scenario() -> None:
        job = client.submit(["sh", "-c", "echo one; exec sleep 1000"])
        before = len(open_fds())
        chunks = job.alogs(follow=True)
        assert await chunks.__anext__() == b"one\n"
        # Somebody who loses interest in the middle of a wait keeps neither a thread nor a descriptor.
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(chunks.__anext__(), 0.01)
        await chunks.aclose()  # type: ignore[attr-defined]
        await until(lambda: not [one for one in threading.enumerate() if one.name.startswith("raydp-wrap logs")])
        assert len(open_fds()) == before
        await asyncio.to_thread(job.stop)
        await job
        assert b"".join([chunk async for chunk in job.alogs()]) == b"one\n"

    asyncio.run(asyncio.wait_for(scenario(), 60))


@pytest.mark.requirement("jobs-4.2-wrong-values")
@pytest.mark.parametrize(
    "where", [{"since": float("nan")}, {"since": 1e300}, {"offset": -5}, {"offset": 1.5}, {"tail": -1}]
)
def test_a_beginning_that_makes_no_sense(client: Client, where: dict[str, float]) -> None:
    job = client.submit(["true"], suspend=True)
    with pytest.raises(UsageError):
        job.logs(**where)
    job.stop()


@pytest.mark.requirement("jobs-4.2-wrong-values")
def test_numbers_without_end(client: Client) -> None:
    assert client.jobs(limit=10**30) == client.jobs()
    assert list(client.changes_until_now(10**30)) == []
    with pytest.raises(UsageError):
        client.submit(["true"], submission_id="")
