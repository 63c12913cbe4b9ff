"""The output of real attempts: written by the driver, indexed and cut by its guard, read by others."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import stat
import time
from typing import TYPE_CHECKING, Any

import pytest
from programs.facts import eventually, open_fds

from raydp_wrap.errors import UsageError
from raydp_wrap.local import LocalBackend, Output
from raydp_wrap.model import Attempt, Launch, Limits, TerminalState
from raydp_wrap.process import Guard
from raydp_wrap.testing import Held
from raydp_wrap.testing.backend_contract import Gate
from raydp_wrap.testing.leftovers import leftovers

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from pathlib import Path

ATTEMPT = Attempt("s", 1, 0.0)
LIMIT = 1 << 20
MANY = 500


def drive(what: Coroutine[Any, Any, Any], seconds: float = 60) -> Any:
    return asyncio.run(asyncio.wait_for(what, seconds))


def shell(script: str, **launch: Any) -> Launch:
    return Launch(("/bin/sh", "-c", script), **launch)


async def launched(directory: Path, launch: Launch, attempt: Attempt = ATTEMPT, **limits: Any) -> Held:
    return Held(await LocalBackend(directory).launch(attempt, launch, Limits(**limits)), attempt)


BOTH = "i=0; while [ $i -lt 200 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done; printf '\\377\\000'"


@pytest.mark.requirement("jobs-3.1")
def test_both_streams_are_in_one_in_the_order_they_were_written(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with await launched(tmp_path / "state", shell(BOTH)) as held:
            followed = await held.output(follow=True)
        expected = b"".join(b"out %d\nerr %d\n" % (number, number) for number in range(200)) + b"\xff\0"
        assert followed == expected
        with Output(tmp_path / "state" / "s.1") as output:
            assert output.streams() == ("output",)
            assert b"".join(output.follow()) == expected

    drive(scenario())


@pytest.mark.requirement("jobs-3.1")
def test_or_each_is_its_own(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with await launched(tmp_path / "state", shell(BOTH, split_output=True)) as held:
            errors = [chunk async for chunk in held.running.logs(follow=True, stream="errors")]
            output = await held.output(follow=True)
            await held.end()
        assert b"".join(errors) == b"".join(b"err %d\n" % number for number in range(200))
        assert output == b"".join(b"out %d\n" % number for number in range(200)) + b"\xff\0"
        with Output(tmp_path / "state" / "s.1") as found:
            assert found.streams() == ("output", "errors")
            assert found.tail(1, "errors") == found.size("errors") - len(b"err 199\n")
        for name in os.listdir(tmp_path / "state" / "s.1"):
            assert stat.S_IMODE((tmp_path / "state" / "s.1" / name).stat().st_mode) & 0o177 == 0
        await LocalBackend(tmp_path / "state").forget(ATTEMPT, held.running.save())
        assert os.listdir(tmp_path / "state") == []

    drive(scenario())


@pytest.mark.requirement("jobs-3.1", "jobs-3.2", "fault-2")
def test_it_is_there_whoever_dies(tmp_path: Path) -> None:
    """Nobody is between the driver and the file: what was written before the guard's death is read to its last byte."""

    async def scenario() -> None:
        async with await launched(tmp_path / "state", shell("echo all of it; exec sleep 1000")) as held:
            await held.output_until(b"it")
            with Guard.connect(tmp_path / "state" / "s.1" / "socket") as guard:
                pid = guard.guard_pid
            following = asyncio.ensure_future(held.output(follow=True))
            os.kill(pid, signal.SIGKILL)
            assert await following == b"all of it\n"
            await held.end()
        with Output(tmp_path / "state" / "s.1") as output:
            assert not output.ended, "there is no record"
            assert b"".join(output.follow(4, ended=lambda: True)) == b"of it\n"

    with leftovers(30) as left:
        drive(scenario())
    assert left == []


@pytest.mark.requirement("jobs-3.3", "jobs-3.2")
def test_where_a_size_is_kept_each_byte_stays_at_its_offset(tmp_path: Path) -> None:
    """Every line says where it lies."""
    lines = 400_000

    async def scenario() -> None:
        numbered = shell(f"exec seq -f %015.0f 0 {lines - 1}")
        async with await launched(tmp_path / "state", numbered, log_limit=LIMIT) as held:
            held_back = await held.output(follow=True)
            await held.end()
        assert len(held_back) % 16 == 0
        path = tmp_path / "state" / "s.1"
        with Output(path) as output:
            start = output.start()
            if start == 0:
                pytest.skip("no holes can be made in files here")
            assert output.size() == lines * 16
            assert LIMIT * 3 // 4 <= output.size() - start <= LIMIT
            assert (path / "output").stat().st_blocks * 512 <= LIMIT + 65536
            for chunk in output.follow():
                assert chunk.startswith(b"%015d\n" % (chunk.offset // 16))
                assert chunk.endswith(b"%015d\n" % ((chunk.offset + len(chunk)) // 16 - 1))
            assert chunk.offset + len(chunk) == output.size()
            assert output.read(output.tail(3)) == b"".join(b"%015d\n" % (lines - n) for n in (3, 2, 1))

    drive(scenario())


@pytest.mark.requirement("jobs-3.6")
def test_a_moment_is_found_again(tmp_path: Path) -> None:
    gates = [Gate(made) for made in (tmp_path / "first", tmp_path / "second") if made.mkdir() is None]
    first, second = (str(gate.path) for gate in gates)
    path = tmp_path / "state" / "s.1"

    async def scenario() -> None:
        gated = shell(f"echo before; read _ <{first}; echo after; read _ <{second}")
        async with await launched(tmp_path / "state", gated) as held:
            await asyncio.to_thread(eventually, (path / "times").exists, "the guard has looked")
            between = time.time()
            gates[0].open()
            await held.output_until(b"after")
            with Output(path) as output:
                assert output.since(between) == len("before\n")
                assert output.since(between - 1000) == 0
                gates[1].open()
                await held.end()
                assert output.since(between) == len("before\n")
                assert output.since(time.time()) == output.size()

    with contextlib.ExitStack() as stack:
        for gate in gates:
            stack.callback(gate.close)
        drive(scenario())


@pytest.mark.requirement("guard-2.9")
def test_the_job_has_its_submitter_s_umask_and_limit(tmp_path: Path) -> None:
    async def scenario() -> None:
        launch = shell("umask; ulimit -Sn", umask=0o777, nofile=50)
        async with await launched(tmp_path / "state", launch) as held:
            assert await held.output(follow=True) == b"0777\n50\n"
            assert (await held.end()).state is TerminalState.FINISHED
        for path in (tmp_path / "state" / "s.1").iterdir():
            assert stat.S_IMODE(path.stat().st_mode) & 0o600 == 0o600, path

    drive(scenario())


@pytest.mark.requirement("jobs-3.3")
def test_no_size_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="size"):
        drive(launched(tmp_path / "state", shell(":"), log_limit=0))
    assert os.listdir(tmp_path / "state") == []


@pytest.fixture
def _raised() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def _pss(pid: int) -> int:
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return int(file.read().partition("\nPss:")[2].split()[0])


@pytest.mark.slow
@pytest.mark.requirement("jobs-3.1", "guard-2.1")
@pytest.mark.usefixtures("_raised")
@pytest.mark.timeout(600)
def test_one_process_holds_hundreds(tmp_path: Path) -> None:
    """With three descriptors each: its directory, its guard's socket, its guard's pidfd."""

    async def scenario() -> None:
        backend = LocalBackend(tmp_path / "state")
        before = len(open_fds())
        begun = time.monotonic()
        attempts = [Attempt("s", number, 0.0) for number in range(1, MANY + 1)]
        launch, limits = Launch(("/bin/sleep", "10000")), Limits(grace=5, log_limit=LIMIT)
        held = [Held(await backend.launch(attempt, launch, limits), attempt) for attempt in attempts]
        started = time.monotonic()
        assert len(open_fds()) - before <= 3 * MANY + 3
        guards = [held_one.running._guard.guard_pid for held_one in held]  # type: ignore[attr-defined]
        shares = [_pss(pid) for pid in guards[:50]] if os.access(f"/proc/{guards[0]}/smaps_rollup", os.R_OK) else []
        for one in held:
            await one.running.stop()
        outcomes = await asyncio.gather(*(one.end() for one in held))
        assert {outcome.state for outcome in outcomes} == {TerminalState.KILLED}
        for one in held:
            await one.close()
        print(f"{MANY} attempts: started in {started - begun:.1f} s, ended in {time.monotonic() - started:.1f} s")
        print(f"guards' PSS in kB: {sorted(shares)[len(shares) // 2]}" if shares else "guards' PSS can't be read")

    before = open_fds()
    drive(scenario(), 500)
    assert open_fds() == before
