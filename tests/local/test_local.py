"""What is the local backend's own: its files, a guard that dies or is stopped, an owner killed in the middle."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import stat
import time
from typing import TYPE_CHECKING, Any

import pytest
from programs.facts import alive, eventually, open_fds

from raydp_wrap.errors import GuardUnresponsiveError, RaydpWrapError, StartError, UsageError
from raydp_wrap.local import LocalBackend
from raydp_wrap.local.place import boot_of, new_identity
from raydp_wrap.model import Attempt, Launch, Limits, Reason, TerminalState
from raydp_wrap.process import Guard, read_record
from raydp_wrap.testing import Held
from raydp_wrap.testing.backend_contract import Gate
from raydp_wrap.testing.leftovers import leftovers

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

pytestmark = pytest.mark.requirement("plugin-3.2")

ATTEMPT = Attempt("20250301-120000-abc", 2, 1740830400.0)
SLEEP = Launch(("/bin/sh", "-c", "echo ready; exec sleep 1000"))
COUNTED = 'echo started >> "$1"; read _ < "$2"; exit 7'


def drive(what: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(what, 60))


async def launched(directory: Path, launch: Launch = SLEEP, attempt: Attempt = ATTEMPT, **limits: Any) -> Held:
    return Held(await LocalBackend(directory).launch(attempt, launch, Limits(**limits)), attempt)


async def restored(directory: Path, saved: dict[str, Any]) -> Held:
    return Held(await LocalBackend(directory).restore(ATTEMPT, saved), ATTEMPT)


def guard_of(directory: Path) -> int:
    with Guard.connect(f"{directory}/{ATTEMPT.submission_id}.{ATTEMPT.number}/socket") as guard:
        return guard.guard_pid


@pytest.mark.parametrize("umask", [0, 0o077])
def test_what_is_kept_is_private(tmp_path: Path, umask: int) -> None:
    async def scenario() -> None:
        before = os.umask(umask)
        try:
            held = await launched(tmp_path / "state")
        finally:
            os.umask(before)
        async with held:
            await held.output_until(b"ready")
            place = tmp_path / "state" / "20250301-120000-abc.2"
            assert sorted(os.listdir(place)) == ["began", "identity", "output", "record.tmp0", "socket"]
            await held.running.stop()
            await held.end()
        assert {*os.listdir(place)} - {"times"} == {"began", "identity", "output", "record"}
        for path in (place.parent, place):
            assert stat.S_IMODE(path.stat().st_mode) == 0o700
        for path in place.iterdir():
            assert stat.S_IMODE(path.stat().st_mode) & 0o177 == 0
        await LocalBackend(place.parent).forget(ATTEMPT, held.running.save())
        assert os.listdir(place.parent) == []

    drive(scenario())


def test_a_path_may_be_longer_than_a_socket_s(tmp_path: Path) -> None:
    directory = tmp_path / ("long" * 30) / ("longer" * 30)

    async def scenario() -> None:
        attempt = Attempt("s" * 200, 1, 0.0)
        async with await launched(directory, SLEEP, attempt) as held:
            await held.output_until(b"ready")
            again = Held(await LocalBackend(directory).restore(attempt, held.running.save()), attempt)
            await again.running_seen()
            await again.running.stop(label="through a long path")
            assert (await again.end()).state is TerminalState.KILLED
            assert (await held.end()).state is TerminalState.KILLED
            await again.close()

    drive(scenario())


@pytest.mark.requirement("fault-41")
@pytest.mark.parametrize("hostile", ["", "../x", "/tmp/x", "a/b", "nul\0", "x" * 300])
def test_an_id_that_leads_elsewhere_is_refused(tmp_path: Path, hostile: str) -> None:
    before = open_fds()
    with pytest.raises(UsageError, match="submission id"):
        drive(launched(tmp_path / "state", SLEEP, Attempt(hostile, 1, 0.0)))
    assert os.listdir(tmp_path) == ["state"]
    assert os.listdir(tmp_path / "state") == []
    assert open_fds() == before


@pytest.mark.parametrize("strange", ["..", ".", "with blanks and \n \x1b[31m", "ä" * 100, "\udcff", "$(exit)"])
def test_a_strange_id_is_a_name_like_any_other(tmp_path: Path, strange: str) -> None:
    async def scenario() -> None:
        async with await launched(tmp_path / "state", Launch(("/bin/true",)), Attempt(strange, 1, 0.0)) as held:
            assert (await held.end()).state is TerminalState.FINISHED
        assert os.listdir(tmp_path / "state") == [f"{strange}.1"]

    drive(scenario())


def test_what_does_not_start_leaves_no_file_and_no_descriptor(tmp_path: Path) -> None:
    before = open_fds()
    for launch in (
        Launch(("/nonexistent",)),
        Launch(("/etc/passwd",)),
        Launch(("/bin/true",), cwd=str(tmp_path / "no")),
    ):
        with pytest.raises(StartError):
            drive(launched(tmp_path / "state", launch))
    with pytest.raises(UsageError):
        drive(launched(tmp_path / "state", Launch(())))
    assert os.listdir(tmp_path / "state") == []
    assert open_fds() == before


def test_nothing_is_kept_open(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with await launched(tmp_path / "state", Launch(("/bin/echo", "word"))) as held:
            assert await held.output(follow=True) == b"word\n"
            await held.end()

    before = open_fds()
    drive(scenario())
    assert open_fds() == before


@pytest.mark.requirement("fault-2")
@pytest.mark.parametrize("owner", ["its starter", "an adopter", "nobody"])
@pytest.mark.parametrize("stopped", [False, True], ids=["unasked", "after a stop"])
def test_a_guard_that_is_killed(tmp_path: Path, owner: str, *, stopped: bool) -> None:
    """The driver dies with it; nobody knows how it would have ended, and what it left is swept."""
    directory = tmp_path / "state"
    daemon = Launch(("/bin/sh", "-c", "trap '' TERM; setsid sleep 1000 & echo $! ready; exec sleep 1000"))

    async def scenario() -> None:
        held = await launched(directory, daemon, grace=1000)
        child = int((await held.output_until(b"ready")).split()[0])
        saved = held.running.save()
        pid = guard_of(directory)
        if owner != "its starter":
            await held.close()
        if owner == "an adopter":
            held = await restored(directory, saved)
        if stopped and owner != "nobody":
            await held.running.stop(label="me")
        os.kill(pid, signal.SIGKILL)
        if owner == "nobody":
            eventually(lambda: not alive(pid), "the guard is dead")
            held = await restored(directory, saved)
        outcome = await held.end()
        if stopped and owner != "nobody":
            assert (outcome.state, outcome.reason) == (TerminalState.KILLED, Reason.STOP_REQUESTED)
        else:
            assert (outcome.state, outcome.reason) == (TerminalState.FAILED, Reason.JOB_LOST)
        assert "not proven empty" in outcome.diagnostics or "cgroup was killed" in outcome.diagnostics
        assert not alive(child)
        await held.close()

    with leftovers(30) as left:
        drive(scenario())
    assert left == []


@pytest.mark.requirement("fault-11")
def test_a_guard_that_is_stopped_is_not_taken_for_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = Guard.connect
    monkeypatch.setattr(Guard, "connect", lambda path: connect(path, timeout=0.2))
    directory = tmp_path / "state"

    async def scenario() -> None:
        async with await launched(directory) as held:
            await held.output_until(b"ready")
            saved, pid = held.running.save(), guard_of(directory)
            os.kill(pid, signal.SIGSTOP)
            before = open_fds()
            try:
                with pytest.raises(GuardUnresponsiveError):
                    await restored(directory, saved)
                with pytest.raises(GuardUnresponsiveError):
                    await launched(directory)
            finally:
                os.kill(pid, signal.SIGCONT)
            assert open_fds().keys() <= before.keys()
            again = await restored(directory, saved)
            await again.running_seen()
            await again.close()

    drive(scenario())


def planted(path: Path) -> str:
    path.write_text('{"schema": 1, "id": "x"', encoding="ascii")
    return "no exit record"


def newer(path: Path) -> str:
    path.write_text('{"schema": 99}', encoding="ascii")
    return "newer"


def linked(path: Path) -> str:
    path.symlink_to("/etc/passwd")
    return "symbolic link"


@pytest.mark.requirement("fault-40")
@pytest.mark.parametrize("plant", [planted, newer, linked])
def test_a_record_that_is_none_is_told_of_and_left(tmp_path: Path, plant: Any) -> None:
    directory = tmp_path / "state"

    async def scenario() -> None:
        async with await launched(directory, Launch(("/bin/true",))) as held:
            await held.end()
        record = directory / "20250301-120000-abc.2" / "record"
        record.unlink()
        says = plant(record)
        held = await restored(directory, held.running.save())
        outcome = await held.end()
        assert (outcome.state, outcome.reason) == (TerminalState.FAILED, Reason.JOB_LOST)
        assert says in outcome.diagnostics
        assert record.name in os.listdir(record.parent)
        await held.close()

    drive(scenario())


def test_another_attempt_s_record_decides_nothing(tmp_path: Path) -> None:
    directory = tmp_path / "state"

    async def scenario() -> None:
        other = Attempt(ATTEMPT.submission_id, 1, 0.0)
        for attempt in (other, ATTEMPT):
            async with await launched(directory, Launch(("/bin/true",)), attempt) as held:
                await held.end()
        theirs, ours = (directory / f"20250301-120000-abc.{number}" / "record" for number in (1, 2))
        theirs.rename(ours)
        held = await restored(directory, held.running.save())
        outcome = await held.end()
        assert outcome.reason is Reason.JOB_LOST
        assert "another attempt's" in outcome.diagnostics
        await held.close()

    drive(scenario())


def test_it_is_found_where_it_was_moved_to(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with await launched(tmp_path / "state") as held:
            await held.output_until(b"ready")
            (tmp_path / "state").rename(tmp_path / "moved")
            again = await restored(tmp_path / "moved", held.running.save())
            await again.running_seen()
            await again.running.stop()
            assert (await again.end()).state is TerminalState.KILLED
            assert b"ready" in await again.output()
            await again.close()

    drive(scenario())


def test_where_all_its_files_are_gone_it_is_lost_and_swept(tmp_path: Path) -> None:
    directory = tmp_path / "state"

    async def scenario() -> None:
        held = await launched(directory)
        await held.output_until(b"ready")
        saved = held.running.save()
        await held.close()
        (directory / "20250301-120000-abc.2").rename(tmp_path / "elsewhere")
        held = await restored(directory, saved)
        outcome = await held.end()
        assert outcome.reason is Reason.JOB_LOST
        assert await held.output(follow=True) == b""
        await held.close()

    with leftovers(30) as left:
        drive(scenario())
    assert left == []


def test_what_runs_is_not_forgotten(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with await launched(tmp_path / "state") as held:
            backend = LocalBackend(tmp_path / "state")
            with pytest.raises(UsageError, match="still runs"):
                await backend.forget(ATTEMPT, held.running.save())
            await held.output_until(b"ready")

    drive(scenario())


def test_following_waits_for_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The output is read as often as it was written to, and not between."""
    reads = []
    read = os.pread

    def counted(*arguments: Any) -> bytes:
        reads.append(arguments)
        return read(*arguments)

    monkeypatch.setattr(os, "pread", counted)
    gate = Gate(tmp_path)
    gated = Launch(("/bin/sh", "-c", "echo one; read _ < $0; echo two", str(gate.path)))

    async def scenario() -> None:
        async with await launched(tmp_path / "state", gated) as held:
            following = asyncio.ensure_future(held.output(follow=True))
            await held.output_until(b"one")
            await asyncio.sleep(0.2)  # nothing is waited for: time in which nothing may be read
            before = len(reads)
            await asyncio.sleep(0.2)  # the same
            assert len(reads) == before
            gate.open()
            assert await following == b"one\ntwo\n"

    with contextlib.closing(gate):
        drive(scenario())
    assert len(reads) < 20


def test_a_limit_of_watches_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def inotify_init1(self, _: int) -> int:
            return -1

    monkeypatch.setattr("raydp_wrap.local.inotify._libc", Full)

    async def scenario() -> None:
        async with await launched(tmp_path / "state", Launch(("/bin/echo", "word"))) as held:
            await held.end()
            with pytest.raises(RaydpWrapError, match="can't be followed"):
                await held.output(follow=True)
            assert await held.output() == b"word\n"

    drive(scenario())


@pytest.mark.requirement("fault-3", "owner-kill")
@pytest.mark.parametrize("number", range(20))
def test_an_owner_that_is_killed_while_it_launches(tmp_path: Path, number: int) -> None:
    """At any moment: it is never started twice, and its end is true, or it was lost."""
    directory = tmp_path / "state"
    gate = Gate(tmp_path)
    counted = Launch(("/bin/sh", "-c", COUNTED, "counted", str(gate.starts), str(gate.path)))

    with contextlib.closing(gate), leftovers(30) as left:
        pid = os.fork()
        if not pid:
            _launch_and_wait(directory, counted)
        end = time.monotonic() + number * 0.0006
        while time.monotonic() < end:
            pass
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

        async def scenario() -> None:
            held = await launched(directory, counted)
            gate.open()
            outcome = await held.end()
            record = read_record(directory / "20250301-120000-abc.2" / "record")
            if outcome.reason is Reason.JOB_LOST:
                assert record is None
                assert gate.count() <= 1
            else:
                assert outcome.exit_code == 7
                assert gate.count() == 1
            await held.close()

        drive(scenario())
    assert left == []


def _launch_and_wait(directory: Path, launch: Launch) -> None:
    """The forked owner; it never returns."""
    try:

        async def own() -> None:
            await launched(directory, launch)
            await asyncio.sleep(1000)

        asyncio.run(own())
    finally:
        os._exit(1)


def test_many_attempts_and_many_readers(tmp_path: Path) -> None:
    async def one(number: int) -> None:
        attempt = Attempt("s", number, 0.0)
        launch = Launch(("/bin/sh", "-c", f"echo {number}; exit {number}"))
        async with await launched(tmp_path / "state", launch, attempt) as held:
            outputs = await asyncio.gather(*(held.output(follow=True) for _ in range(5)))
            assert outputs == [f"{number}\n".encode()] * 5
            assert (await held.end()).exit_code == number

    async def scenario() -> None:
        await asyncio.gather(*(one(number) for number in range(1, 41)))

    drive(scenario())


@pytest.fixture(autouse=True)
def _state_is_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is restored has been through JSON."""
    restore = LocalBackend.restore

    async def through_json(self: LocalBackend, attempt: Attempt, saved: dict[str, Any]) -> Any:
        return await restore(self, attempt, json.loads(json.dumps(saved)))

    monkeypatch.setattr(LocalBackend, "restore", through_json)


def claimed(directory: Path, identity: str, *others: str) -> None:
    """What an owner leaves that is killed while it launches."""
    place = directory / "20250301-120000-abc.2"
    place.mkdir(parents=True, mode=0o700)
    directory.chmod(0o700)
    for name, text in (("identity", identity), *((name, "") for name in others)):
        (place / name).write_text(text, encoding="ascii")


@pytest.mark.requirement("fault-3")
@pytest.mark.parametrize(
    ("boot", "others", "starts"),
    [
        ("", (), True),
        ("this", (), True),
        ("this", ("output",), True),
        ("this", ("output", "socket"), True),
        ("this", ("output", "socket", "began"), False),
        ("another", (), False),
        ("unknown", (), False),
    ],
)
def test_what_certainly_never_began_is_started(
    tmp_path: Path, boot: str, others: tuple[str, ...], *, starts: bool
) -> None:
    identity = new_identity("x")
    changed = {"this": identity, "another": identity.replace(boot_of(identity), "00000000"), "unknown": "x--0", "": ""}
    claimed(tmp_path / "state", changed[boot], *others)

    async def scenario() -> None:
        async with await launched(tmp_path / "state", Launch(("/bin/sh", "-c", "exit 7"))) as held:
            outcome = await held.end()
            assert outcome.exit_code == (7 if starts else None)
            assert outcome.reason is (Reason.APP_FAILED if starts else Reason.JOB_LOST)

    drive(scenario())
