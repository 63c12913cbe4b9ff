"""A program that can't be read yet, and guards that don't answer, hold up nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest
from crash.harness import need
from programs.facts import alive, eventually

from raydp_wrap.errors import GuardUnresponsiveError, RaydpWrapError
from raydp_wrap.local import LocalBackend
from raydp_wrap.local.threads import Threads
from raydp_wrap.model import Attempt, Launch, Limits, TerminalState
from raydp_wrap.process import Guard
from raydp_wrap.testing import Held
from raydp_wrap.testing.backend_contract import Gate
from raydp_wrap.testing.leftovers import leftovers

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from pathlib import Path

    from typing_extensions import Self

pytestmark = pytest.mark.requirement("fault-11")

SLEEP = Launch(("/bin/sh", "-c", "echo ready; exec sleep 1000"))
GUARDS = 12


def drive(what: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(what, 60))


def attempt(number: int) -> Attempt:
    return Attempt("20250301-120000-abc", number, 1740830400.0)


class Leased:
    """A program that nobody can open before ``release``: the kernel asks its lessee first, which is this process."""

    def __init__(self, path: Path) -> None:
        shutil.copy("/bin/sh", path)
        self.path = str(path)
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        fcntl.fcntl(self._fd, fcntl.F_SETSIG, signal.SIGURG)  # its SIGIO would end us
        try:
            fcntl.fcntl(self._fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        except OSError as error:
            need(met=False, what=f"no lease can be had here: {error}")

    def is_wanted(self) -> bool:
        return fcntl.fcntl(self._fd, fcntl.F_GETLEASE) != fcntl.F_WRLCK

    def release(self) -> None:
        fcntl.fcntl(self._fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


@pytest.fixture
def leased(tmp_path: Path) -> Iterator[Leased]:
    with Leased(tmp_path / "program") as program, leftovers(30) as left:
        yield program
    assert left == []


async def ended(held: Held, state: TerminalState, code: int | None = None) -> None:
    outcome = await held.end()
    assert outcome.state is state
    assert code is None or outcome.exit_code == code
    await held.close()


@pytest.mark.parametrize("cancelled", [False, True], ids=["awaited", "cancelled"])
def test_a_program_that_hangs_as_it_is_started(tmp_path: Path, leased: Leased, *, cancelled: bool) -> None:
    backend = LocalBackend(tmp_path / "state")
    gate = Gate(tmp_path)
    slow = Launch((leased.path, "-c", 'echo "$$" >> "$0"; exec sleep 1000', str(gate.starts)))

    async def scenario() -> None:
        before = Held(
            await backend.launch(
                attempt(1), Launch(("/bin/sh", "-c", 'read _ < "$0"; exit 7', str(gate.path))), Limits()
            ),
            attempt(1),
        )
        launching = asyncio.ensure_future(backend.launch(attempt(2), slow, Limits()))
        await asyncio.to_thread(eventually, leased.is_wanted, "it is executed")
        other = Held(await backend.launch(attempt(3), Launch(("/bin/sh", "-c", "exit 3")), Limits()), attempt(3))
        await ended(other, TerminalState.FAILED, 3)
        gate.open()
        await ended(before, TerminalState.FAILED, 7)
        assert not launching.done()
        if cancelled:
            launching.cancel()
            with pytest.raises(asyncio.CancelledError):
                await launching
        leased.release()
        if cancelled:
            launching = asyncio.ensure_future(LocalBackend(tmp_path / "state").launch(attempt(2), slow, Limits()))
        held = Held(await launching, attempt(2))
        await held.running_seen()
        await asyncio.to_thread(eventually, gate.starts.exists, "it runs")
        await held.running.stop()
        await ended(held, TerminalState.KILLED)

    with contextlib.closing(gate):
        drive(scenario())
    assert len(gate.starts.read_text(encoding="ascii").split()) == 1


def test_guards_that_do_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All are asked at once, none in the pool that all others use, and each is named by its directory."""
    connect = Guard.connect
    all_asked = threading.Barrier(GUARDS)
    names = set()

    def connected(path: Path) -> Guard:
        names.add(threading.current_thread().name)
        all_asked.wait(30)
        return connect(path, timeout=0.1)

    async def restored(saved: dict[str, Any], number: int) -> str:
        with pytest.raises(GuardUnresponsiveError) as failed:
            await LocalBackend.restore(backend, attempt(number), saved)
        return str(failed.value)

    backend = LocalBackend(tmp_path / "state")

    async def scenario() -> None:
        held = [Held(await backend.launch(attempt(n), SLEEP, Limits()), attempt(n)) for n in range(GUARDS)]
        places = [one.running.save() for one in held]
        pids = []
        for saved in places:
            with connect(f"{saved['directory']}/socket") as guard:
                pids.append(guard.guard_pid)
        monkeypatch.setattr(Guard, "connect", connected)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            told = await asyncio.gather(*(restored(saved, n) for n, saved in enumerate(places)))
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        for saved, sentence in zip(places, told, strict=True):
            assert saved["directory"] in sentence
        assert names == {"raydp-wrap connect"}
        for one in held:
            await one.running.stop()
            await ended(one, TerminalState.KILLED)
        assert not any(map(alive, pids))

    drive(scenario())


def test_threads_end_with_their_work() -> None:
    """No more than the limit, none that the process's end would wait for, and what is cancelled first never begins."""
    threads = Threads(2, "two of them")
    go_on = threading.Event()
    both = threading.Barrier(3)
    late: list[int] = []

    def mine() -> list[threading.Thread]:
        return [one for one in threading.enumerate() if one.name == "two of them"]

    def held_up(number: int) -> int:
        both.wait(30)
        go_on.wait(30)
        return number

    async def scenario() -> None:
        first, second = (
            asyncio.ensure_future(threads.run(lambda n=n: held_up(n), late.append))
            for n in (1, 2)  # type: ignore[misc]
        )
        await asyncio.to_thread(both.wait, 30)
        third = asyncio.ensure_future(threads.run(lambda: late.append(3), late.append))
        fourth = asyncio.ensure_future(threads.run(lambda: 4, late.append))
        await asyncio.sleep(0)
        assert len(mine()) == 2
        assert all(one.daemon for one in mine())
        for cancelled in (first, third):
            cancelled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cancelled
        go_on.set()
        assert [await second, await fourth] == [2, 4]
        await asyncio.to_thread(eventually, lambda: not mine(), "they end")
        assert late == [1]

    drive(scenario())


def test_where_no_thread_can_be_had_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_: threading.Thread) -> None:
        raise RuntimeError

    threads = Threads(2, "none")

    async def scenario() -> None:
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", none)
            with pytest.raises(RaydpWrapError, match="limit of processes"):
                await threads.run(lambda: 1, lambda _: None)
        assert await threads.run(lambda: 1, lambda _: None) == 1

    drive(scenario())
