"""Runtime environments: once for all who need them, whatever happens to the supervisor meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from programs.facts import open_fds

from raydp_wrap.errors import RaydpWrapError, StoreError, UsageError
from raydp_wrap.local import LocalBackend
from raydp_wrap.model import Attempt, Launch
from raydp_wrap.process import Guard
from raydp_wrap.request import Preparation
from raydp_wrap.store import Store
from raydp_wrap.supervisor.preparing import CLEANED, CLEANING, FAILED, PREPARING, READY, Preparations
from raydp_wrap.testing import FakeBackend, Script
from raydp_wrap.testing.backend_contract import Gate
from raydp_wrap.testing.leftovers import leftovers

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Sequence
    from pathlib import Path

    from raydp_wrap.model import Limits
    from raydp_wrap.store.preparations import Prepared

FULL = Preparation("env", ("setup",), ("verify",), ("cleanup",), timeout=60.0)
OK, BAD = Script(code=0), Script((b"some output\n",), code=3)
FOR_EVER = Script((b"begun\n",))


def drive(what: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(what, 20))


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - of what is looked at from outside
        await asyncio.sleep(0.005)


def launch_for(argv: Sequence[str]) -> Launch:
    return Launch(tuple(argv), env={"OF": "the first"}, cwd="/", umask=0o27, nofile=99)


class FakeStore:
    """States in memory, and each one that there was."""

    def __init__(self) -> None:
        self.rows: dict[str, Prepared] = {}
        self.states: list[str] = []
        self.broken = False

    def get(self, key: str) -> Prepared | None:
        return self.rows.get(key)

    def put(self, expected: str | None, new: Prepared) -> bool:
        if self.broken:
            raise StoreError("the disk is full.")
        found = self.rows.get(new.key)
        if (None if found is None else found.state) != expected:
            return False
        self.rows[new.key] = new
        self.states.append(new.state)
        return True


class Home:
    """A store, a backend whose commands do what SCRIPTS say, by name, one after the other, and the supervisors."""

    def __init__(self, path: Path, store: Any = None, **scripts: Script | list[Script]) -> None:
        self.path = path
        self.store = store if store is not None else FakeStore()
        self.scripts = {name: [found] if isinstance(found, Script) else [*found] for name, found in scripts.items()}
        self.backend = FakeBackend(self._script)
        self.told: list[str] = []
        self.needed = False

    def _script(self, _: Attempt, launch: Launch) -> Script:
        scripts = self.scripts.get(launch.argv[0], [OK])
        return scripts.pop(0) if len(scripts) > 1 else scripts[0]

    def supervisor(self) -> Preparations:
        self.backend = self.backend.again()
        return Preparations(self.store, self.backend, self.path / "prepared", tell=self.told.append, clock=lambda: 5.0)

    @property
    def ran(self) -> list[str]:
        """The commands that were started, in order."""
        return [launch.argv[0] for _, launch, _ in self.backend.launched]

    @property
    def running(self) -> list[str]:
        """Those of them that have not ended."""
        jobs = self.backend._jobs
        started = [
            (jobs.get((attempt.submission_id, attempt.number)), at.argv[0]) for attempt, at, _ in self.backend.launched
        ]
        return [name for job, name in started if job is not None and job.ended_at is None]

    def state(self, key: str = "env") -> str | None:
        found = self.store.get(key)
        return None if found is None else found.state


def is_needed() -> bool:
    return True


def is_not_needed() -> bool:
    return False


@pytest.fixture(params=["fake", "real"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    if request.param == "fake":
        yield FakeStore()
        return
    with Store(tmp_path) as store:
        yield store.preparations


@pytest.mark.requirement("jobs-2.3-verify")
@pytest.mark.parametrize(
    ("asked", "scripts", "ran", "why"),
    [
        (FULL, {"verify": OK}, ["verify"], ""),
        (FULL, {"verify": [BAD, OK]}, ["verify", "setup", "verify"], ""),
        (FULL, {"verify": BAD}, ["verify", "setup", "verify"],
         "the environment 'env' can't be used: its verify command, run again after its setup, exited with 3."),
        (FULL, {"verify": BAD, "setup": BAD}, ["verify", "setup"],
         "the environment 'env' can't be used: its setup exited with 3."),
        (FULL, {"verify": Script(start_error="it is not there."), "setup": Script(signal=9)}, ["setup"],
         "the environment 'env' can't be used: its setup was ended by SIGKILL."),
        (FULL, {"verify": BAD, "setup": Script(start_error="it is not there.")}, ["verify"],
         "the environment 'env' can't be used: its setup can't be started (it is not there)."),
        (Preparation("env", ("setup",)), {}, ["setup"], ""),
        (Preparation("env", ("setup",)), {"setup": BAD}, ["setup"],
         "the environment 'env' can't be used: its setup exited with 3."),
        (Preparation("env", cleanup=("cleanup",)), {}, [], ""),
    ],
)  # fmt: skip
def test_it_is_set_up_where_it_is_not_there_and_then_seen_to_be(
    tmp_path: Path, store: Any, asked: Preparation, scripts: dict[str, Any], ran: list[str], why: str
) -> None:
    home = Home(tmp_path, store, **scripts)

    async def scenario() -> None:
        found = await home.supervisor().ready(asked, "j1", launch_for)
        assert found.partition("\n")[0] == why
        assert home.ran == ran
        row = store.get("env")
        assert (row.state, row.submission_id, row.error) == (FAILED if why else READY, "j1", found)

    drive(scenario())


@pytest.mark.requirement("jobs-2.3-prepare")
def test_all_who_come_at_once_have_it_set_up_once(tmp_path: Path, store: Any) -> None:
    home = Home(tmp_path, store, verify=[BAD, OK], setup=Script((0.05,), code=0))

    async def scenario() -> None:
        preparations = home.supervisor()
        found = await asyncio.gather(*(preparations.ready(FULL, f"j{n}", launch_for) for n in range(50)))
        assert set(found) == {""}
        assert home.ran == ["verify", "setup", "verify"]
        assert await preparations.ready(FULL, "later", launch_for) == ""
        assert len(home.ran) == 3

    drive(scenario())


@pytest.mark.requirement("jobs-2.3-prepare")
def test_what_failed_has_failed_for_all_until_it_is_forgotten(tmp_path: Path, store: Any) -> None:
    home = Home(tmp_path, store, verify=[BAD, BAD, OK], setup=[BAD, OK])

    async def scenario() -> None:
        preparations = home.supervisor()
        found = set(await asyncio.gather(*(preparations.ready(FULL, f"j{n}", launch_for) for n in range(9))))
        found.add(await preparations.ready(FULL, "later", launch_for))
        found.add(await home.supervisor().ready(FULL, "of the next supervisor", launch_for))
        assert len(found) == 1
        assert found.pop().endswith("its setup exited with 3.\nsome output")
        assert home.ran == ["verify", "setup"]
        preparations.forget("env")
        preparations.forget("unknown")
        assert await preparations.ready(FULL, "j", launch_for) == ""
        assert home.ran == ["verify", "setup", "verify", "setup", "verify"]

    drive(scenario())


@pytest.mark.requirement("jobs-2.3-prepare")
def test_what_takes_too_long_has_failed_for_all(tmp_path: Path) -> None:
    asked = Preparation("env", ("setup",), timeout=0.05)
    home = Home(tmp_path, setup=FOR_EVER)

    async def scenario() -> None:
        preparations = home.supervisor()
        for number in range(2):
            why = await preparations.ready(asked, f"j{number}", launch_for)
            assert why == "the environment 'env' can't be used: its setup took longer than 0.05 s.\nbegun"
        # Kept by the guard: it holds where no supervisor lives.
        ((_, _, limits),) = home.backend.launched
        assert (limits.active_deadline, limits.log_limit) == (0.05, 1 << 20)

    drive(scenario())


@pytest.mark.requirement("jobs-2.3-prepare")
def test_the_output_is_told_in_bounds_and_without_secrets(tmp_path: Path) -> None:
    output = b"first\n" + b"x" * 300_000 + b"\npassword=hunter2 \x1b[31m\xff\nthe last line\n"
    home = Home(tmp_path, setup=Script((output,), code=1))

    async def scenario() -> None:
        asked = Preparation("\u00e4" * 100, ("setup",))
        why = await home.supervisor().ready(asked, "j", launch_for)
        assert len(why.encode()) <= 2048
        assert why.endswith("\nthe last line")
        assert "hunter2" not in why
        assert "\x1b" not in why

    drive(scenario())


@pytest.mark.requirement("jobs-2.3-prepare")
@pytest.mark.parametrize("state", [PREPARING, READY, FAILED])
def test_other_commands_for_the_same_key_are_refused_until_it_is_cleaned_up(tmp_path: Path, state: str) -> None:
    other = Preparation("env", ("another setup",), ("verify",), ("cleanup",))
    longer = Preparation("env", ("setup",), ("verify",), ("cleanup",), timeout=99.0)  # which is no command
    home = Home(tmp_path, verify=[BAD, OK], setup={PREPARING: FOR_EVER, READY: OK, FAILED: BAD}[state])

    async def scenario() -> None:
        preparations = home.supervisor()
        first = asyncio.ensure_future(preparations.ready(FULL, "j1", launch_for))
        await until(lambda: home.state() == state)
        why = await preparations.ready(other, "j2", launch_for)
        assert "has other commands in job j1: use another key" in why
        if state != PREPARING:
            assert await preparations.ready(longer, "j3", launch_for) == await first
        first.cancel()
        await asyncio.wait([first])
        await preparations.released(FULL, is_not_needed)
        assert "another setup" not in home.ran
        assert await preparations.ready(other, "j4", launch_for) == ""
        assert home.store.get("env").submission_id == "j4"

    drive(scenario())


@pytest.mark.requirement("jobs-2.3-cleanup")
@pytest.mark.parametrize("setup", [OK, BAD])
def test_it_is_cleaned_up_once_and_then_prepared_anew(
    tmp_path: Path, store: Any, setup: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    launch = FakeBackend.launch

    async def noted(self: FakeBackend, attempt: Attempt, what: Launch, limits: Limits) -> Any:
        asked.append(what.argv[0])
        return await launch(self, attempt, what, limits)

    monkeypatch.setattr(FakeBackend, "launch", noted)
    home = Home(tmp_path, store, verify=[BAD] + [OK] * (setup is OK) + [OK], setup=setup)
    first = ["verify", "setup", "verify"] if setup is OK else ["verify", "setup"]

    async def scenario() -> None:
        preparations = home.supervisor()
        await preparations.ready(FULL, "j1", launch_for)
        await preparations.released(FULL, is_needed)
        assert home.ran == first
        await asyncio.gather(*(preparations.released(FULL, is_not_needed) for _ in range(9)))
        await preparations.released(FULL, is_not_needed)
        await home.supervisor().released(FULL, is_not_needed)
        assert asked == home.ran == [*first, "cleanup"]
        assert home.state() == CLEANED
        assert list((tmp_path / "prepared").iterdir()) == []
        assert await preparations.ready(FULL, "j2", launch_for) == ""
        assert home.ran == [*first, "cleanup", "verify"]
        await preparations.released(FULL, is_not_needed)
        assert home.ran[-1] == "cleanup"

    drive(scenario())


@pytest.mark.requirement("jobs-2.3-cleanup")
def test_a_cleanup_that_fails_hides_nothing(tmp_path: Path, store: Any) -> None:
    home = Home(tmp_path, store, verify=BAD, setup=BAD, cleanup=Script((b"rm: no\n",), code=7))

    async def scenario() -> None:
        preparations = home.supervisor()
        why = await preparations.ready(FULL, "j1", launch_for)
        await preparations.released(FULL, is_not_needed)
        assert store.get("env").state == CLEANED
        assert store.get("env").error == why
        assert home.told == ["the environment 'env' is not cleaned up: its cleanup exited with 7.\nrm: no"]

    drive(scenario())


@pytest.mark.requirement("jobs-2.3-cleanup")
def test_who_comes_while_it_is_cleaned_up_has_it_prepared_anew(tmp_path: Path) -> None:
    home = Home(tmp_path, cleanup=Script((0.05,), code=0))

    async def scenario() -> None:
        preparations = home.supervisor()
        await preparations.ready(FULL, "j1", launch_for)
        cleaning = asyncio.ensure_future(preparations.released(FULL, lambda: home.needed))
        await until(lambda: home.state() == CLEANING)
        home.needed = True
        with pytest.raises(UsageError, match="is cleaning just now"):
            preparations.forget("env")
        assert await preparations.ready(FULL, "j2", launch_for) == ""
        await cleaning
        assert home.ran == ["verify", "cleanup", "verify"]
        assert home.state() == READY

    drive(scenario())


@pytest.mark.requirement("jobs-2.3-cleanup")
@pytest.mark.parametrize("gone", [False, True])
def test_a_setup_that_no_job_needs_any_more_is_ended_and_cleaned_up(tmp_path: Path, *, gone: bool) -> None:
    """Also where those whose jobs have ended still wait for it."""
    home = Home(tmp_path, verify=BAD, setup=FOR_EVER)

    async def scenario() -> None:
        preparations = home.supervisor()
        waiting = [asyncio.ensure_future(preparations.ready(FULL, f"j{n}", launch_for)) for n in range(3)]
        await until(lambda: "setup" in home.ran)
        if gone:
            for one in waiting:
                one.cancel()
        await asyncio.gather(*(preparations.released(FULL, is_not_needed) for _ in range(3)))
        found = await asyncio.gather(*waiting, return_exceptions=True)
        if not gone:
            assert set(found) == {"no job needs the environment 'env' any more."}
        assert home.ran == ["verify", "setup", "cleanup"]
        assert home.running == []
        assert home.state() == CLEANED

    drive(scenario())


@pytest.mark.requirement("jobs-2.3-cleanup")
def test_who_waits_for_a_cleanup_and_is_not_needed_any_more_leaves_nothing(tmp_path: Path) -> None:
    home = Home(tmp_path, cleanup=Script((0.05,), code=0), verify=[OK, FOR_EVER])

    async def scenario() -> None:
        preparations = home.supervisor()
        await preparations.ready(FULL, "j1", launch_for)
        cleaning = asyncio.ensure_future(preparations.released(FULL, is_not_needed))
        await until(lambda: home.state() == CLEANING)
        waiting = asyncio.ensure_future(preparations.ready(FULL, "j2", launch_for))
        await asyncio.sleep(0)
        await asyncio.gather(cleaning, preparations.released(FULL, is_not_needed))
        assert await waiting == "no job needs the environment 'env' any more."
        assert home.running == []
        assert home.state() == CLEANED
        assert list((tmp_path / "prepared").iterdir()) == []

    drive(scenario())


@pytest.mark.requirement("jobs-2.3-prepare")
def test_who_comes_when_the_others_have_just_gone_goes_on_with_it(tmp_path: Path) -> None:
    home = Home(tmp_path, verify=[BAD, OK], setup=Script((0.05,), code=0))

    async def scenario() -> None:
        preparations = home.supervisor()
        waiting = asyncio.ensure_future(preparations.ready(FULL, "j1", launch_for))
        await until(lambda: "setup" in home.ran)
        waiting.cancel()
        leaving = asyncio.ensure_future(preparations.released(FULL, lambda: home.needed))
        late = asyncio.ensure_future(preparations.ready(FULL, "j2", launch_for))
        await asyncio.sleep(0)  # it is being given up now
        home.needed = True
        assert await late == ""
        await leaving
        assert home.ran == ["verify", "setup", "verify"]

    drive(scenario())


@pytest.mark.requirement("jobs-2.3-prepare")
def test_who_stops_waiting_stops_nobody_else(tmp_path: Path) -> None:
    home = Home(tmp_path, verify=[BAD, OK], setup=Script((0.05,), code=0))

    async def scenario() -> None:
        preparations = home.supervisor()
        first, second = (asyncio.ensure_future(preparations.ready(FULL, f"j{n}", launch_for)) for n in range(2))
        await until(lambda: "setup" in home.ran)
        first.cancel()
        assert await second == ""
        assert first.cancelled()
        assert home.ran == ["verify", "setup", "verify"]

    drive(scenario())


@pytest.mark.requirement("jobs-2.3-prepare", "jobs-2.3-cleanup")
@pytest.mark.parametrize("setup", [OK, BAD])
@pytest.mark.parametrize("rounds", range(1, 46, 3))
def test_a_supervisor_that_ends_at_any_moment_is_taken_over_from(tmp_path: Path, rounds: int, setup: Script) -> None:
    """Nothing is run twice, and no answer differs."""
    home = Home(tmp_path, verify=[BAD, OK], setup=setup)

    async def given_up_after(what: Callable[[Preparations], Coroutine[Any, Any, Any]]) -> Any:
        """WHAT, by supervisors that each live for ROUNDS turns of the loop, and one that lives on."""
        for _ in range(3):
            preparations = home.supervisor()
            task = asyncio.ensure_future(what(preparations))
            for _ in range(rounds):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            await preparations.close()
        return await what(home.supervisor())

    async def scenario() -> None:
        why = await given_up_after(lambda one: one.ready(FULL, "j1", launch_for))
        assert bool(why) is (setup is BAD)
        assert Counter(home.ran) == Counter(["verify", "setup"] + ["verify"] * (setup is OK))
        await given_up_after(lambda one: one.released(FULL, is_not_needed))
        assert Counter(home.ran)["cleanup"] == 1
        assert home.state() == CLEANED
        await given_up_after(lambda one: one.recover(lambda _: False))
        assert Counter(home.ran)["cleanup"] == 1

    drive(scenario())


@pytest.mark.requirement("jobs-2.3-cleanup")
def test_what_a_dead_supervisor_has_not_cleaned_up_the_next_one_does(tmp_path: Path) -> None:
    home = Home(tmp_path, verify=[BAD, OK, OK])
    other = Preparation("other", ("setup",), cleanup=("clean the other",))

    async def scenario() -> None:
        before = home.supervisor()
        await before.ready(FULL, "j1", launch_for)
        await before.ready(other, "j2", launch_for)
        await before.close()
        (tmp_path / "prepared" / "prepare.broken").write_bytes(b"{")
        (tmp_path / "prepared" / "prepare.0.tmp").write_bytes(b"{")
        await home.supervisor().recover(lambda key: key == "other")
        assert (home.state("env"), home.state("other")) == (CLEANED, READY)
        _, launch, limits = home.backend.launched[-1]
        # In the directory and environment of who had it set up.
        assert launch == launch_for(["cleanup"])
        assert limits.active_deadline == 60.0

    drive(scenario())


@pytest.mark.requirement("jobs-2.3-cleanup")
def test_a_setup_that_a_dead_supervisor_left_and_nobody_needs_is_ended(tmp_path: Path) -> None:
    home = Home(tmp_path, verify=BAD, setup=FOR_EVER)

    async def scenario() -> None:
        before = home.supervisor()
        waiting = asyncio.ensure_future(before.ready(FULL, "j1", launch_for))
        await until(lambda: "setup" in home.ran)
        await before.close()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await home.supervisor().recover(lambda _: False)
        assert home.ran == ["verify", "setup", "cleanup"]
        assert home.running == []
        assert home.state() == CLEANED

    drive(scenario())


@pytest.mark.requirement("jobs-2.3-prepare")
@pytest.mark.parametrize(("times", "why"), [(1, ""), (2, "its setup was lost: nobody saw how it ended.")])
def test_a_setup_that_was_lost_is_run_once_more(tmp_path: Path, times: int, why: str) -> None:
    home = Home(tmp_path, verify=[BAD, OK], setup=[Script(lost=True)] * times + [OK])

    async def scenario() -> None:
        assert (await home.supervisor().ready(FULL, "j1", launch_for)).endswith(why)
        assert home.ran == ["verify", "setup", "setup"] + ["verify"] * (times == 1)

    drive(scenario())


@pytest.mark.requirement("jobs-2.3-cleanup")
def test_a_cleanup_that_was_lost_is_not_run_again(tmp_path: Path) -> None:
    home = Home(tmp_path, cleanup=Script(lost=True))

    async def scenario() -> None:
        preparations = home.supervisor()
        await preparations.ready(FULL, "j1", launch_for)
        await preparations.released(FULL, is_not_needed)
        assert home.ran == ["verify", "cleanup"]
        assert home.state() == CLEANED
        assert home.told == ["the environment 'env' is not cleaned up: its cleanup was lost: nobody saw how it ended."]

    drive(scenario())


@pytest.mark.requirement("jobs-2.3-prepare")
def test_a_store_that_fails_is_told_to_all_who_wait_and_is_asked_again(tmp_path: Path) -> None:
    home = Home(tmp_path, verify=[BAD, OK])

    async def scenario() -> None:
        preparations = home.supervisor()
        home.store.broken = True
        waiting = [preparations.ready(FULL, f"j{n}", launch_for) for n in range(3)]
        found = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(one) for one in found] == [StoreError] * 3
        home.store.broken = False
        assert await preparations.ready(FULL, "j1", launch_for) == ""
        assert home.ran == ["verify", "setup", "verify"]

    drive(scenario())


@pytest.mark.requirement("jobs-2.3-prepare")
def test_what_can_t_be_removed_is_not_taken_for_the_next_one_s_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    async def scenario() -> None:
        home = Home(tmp_path)
        with monkeypatch.context() as patch:
            patch.setattr(FakeBackend, "forget", refuse)
            with pytest.raises(RaydpWrapError, match="can't be removed"):
                await home.supervisor().ready(FULL, "j1", launch_for)
        assert home.state() is None

    drive(scenario())


# -- real processes ---------------------------------------------------------------------------


class Real:
    """A home with real commands: they write what they did into a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.diary = path / "diary"
        self.told: list[str] = []
        self.store = FakeStore()

    def supervisor(self) -> Preparations:
        return Preparations(self.store, LocalBackend(self.path / "jobs"), self.path / "prepared", tell=self.told.append)

    def launch_for(self, argv: Sequence[str]) -> Launch:
        env = {**os.environ, "DIARY": str(self.diary), "MADE": str(self.path / "made"), "BYTES": "\udcff"}
        return Launch(tuple(argv), env=env, cwd=str(self.path), umask=0o027)

    @property
    def did(self) -> list[str]:
        return self.diary.read_text(encoding="ascii").split() if self.diary.exists() else []


def sh(line: str) -> tuple[str, ...]:
    return ("/bin/sh", "-c", line)


VERIFY = sh('echo verify >> "$DIARY"; test -e "$MADE"')
CLEANUP = sh('echo "cleanup $(umask) $(basename "$PWD") $(printf %s "$BYTES" | wc -c)" >> "$DIARY"; rm "$MADE"')


@pytest.mark.requirement("jobs-2.3-prepare", "jobs-2.3-verify", "jobs-2.3-cleanup")
def test_real_commands(tmp_path: Path) -> None:
    home = Real(tmp_path)
    asked = Preparation("env", sh('echo setup >> "$DIARY"; : > "$MADE"'), VERIFY, CLEANUP)

    async def scenario() -> None:
        before = open_fds()
        preparations = home.supervisor()
        found = await asyncio.gather(*(preparations.ready(asked, f"j{n}", home.launch_for) for n in range(10)))
        assert set(found) == {""}
        assert home.did == ["verify", "setup", "verify"]
        await preparations.close()
        # Another supervisor, which knows nothing of whose environment it was.
        await home.supervisor().released(asked, is_not_needed)
        assert home.did[3:] == ["cleanup", "0027", tmp_path.name, "1"]
        assert not (tmp_path / "made").exists()
        assert home.told == []
        assert open_fds().keys() <= before.keys()

    drive(scenario())


@pytest.mark.requirement("jobs-2.3-prepare")
def test_a_real_setup_that_takes_too_long(tmp_path: Path) -> None:
    home = Real(tmp_path)
    asked = Preparation("env", sh('echo setup >> "$DIARY"; echo some output; exec sleep 1000'), timeout=0.3)

    async def scenario() -> None:
        for number in range(2):
            why = await home.supervisor().ready(asked, f"j{number}", home.launch_for)
            assert why == "the environment 'env' can't be used: its setup took longer than 0.3 s.\nsome output"
        assert home.did == ["setup"]

    drive(scenario())


@pytest.mark.requirement("jobs-2.3-prepare")
@pytest.mark.parametrize("lost", [False, True])
def test_a_real_setup_outlives_its_supervisor(tmp_path: Path, *, lost: bool) -> None:
    """And is adopted; one whose guard was killed is run once more."""
    home = Real(tmp_path)
    gate = Gate(tmp_path)
    setup = sh(f'echo setup >> "$DIARY"; read _ < "{gate.path}"; : > "$MADE"')
    asked = Preparation("env", setup, VERIFY, CLEANUP)

    async def scenario() -> None:
        before = home.supervisor()
        waiting = asyncio.ensure_future(before.ready(asked, "j1", home.launch_for))
        await until(lambda: "setup" in home.did)
        waiting.cancel()
        await asyncio.wait([waiting])
        await before.close()
        if lost:
            (directory,) = (tmp_path / "jobs").glob("prepare.*.2")
            fd = os.open(directory, os.O_RDONLY)
            with Guard.connect(f"/proc/self/fd/{fd}/socket") as guard:
                pid = guard.guard_pid
            os.close(fd)
            pidfd = os.pidfd_open(pid)
            os.kill(pid, signal.SIGKILL)
            await asyncio.to_thread(os.waitid, os.P_PIDFD, pidfd, os.WEXITED | os.WNOWAIT)
            os.close(pidfd)
        gate.open()
        assert await home.supervisor().ready(asked, "j2", home.launch_for) == ""
        assert home.did == ["verify", "setup"] + ["setup"] * lost + ["verify"]
        assert home.store.get("env").submission_id == "j1"

    with contextlib.closing(gate), leftovers(30) as left:
        drive(scenario())
    assert left == []
