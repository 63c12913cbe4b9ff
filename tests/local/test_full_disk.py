"""A disk that is full when a job starts, or when it ends: it isn't started, or its end is known all the same."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from crash.harness import need, need_root
from programs.facts import alive, eventually

from raydp_wrap.errors import StartError
from raydp_wrap.local import LocalBackend
from raydp_wrap.model import Attempt, Launch, Limits, TerminalState
from raydp_wrap.process import Guard, read_record
from raydp_wrap.testing import Held
from raydp_wrap.testing.backend_contract import Gate

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from pathlib import Path

pytestmark = pytest.mark.requirement("fault-15")

ATTEMPT = Attempt("20250301-120000-abc", 1, 1740830400.0)
PLACE = "20250301-120000-abc.1"
GATED = 'echo ready; read _ < "$0"; exit 7'
PAGE = 4096


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    need_root()
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "none", str(folder)], check=False)
    need(mounted.returncode == 0, "a tmpfs can't be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path, spare: int = 0) -> None:
    """Leave SPARE pages of it."""
    with contextlib.suppress(OSError), (folder / "ballast").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(PAGE))
    os.truncate(folder / "ballast", (folder / "ballast").stat().st_size - spare * PAGE)
    assert os.statvfs(folder).f_bfree == spare


def drive(what: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(what, 60))


def test_the_end_of_a_job_whose_owner_is_gone_is_known(tmp_path: Path, small_disk: Path) -> None:
    state = small_disk / "state"
    gate = Gate(tmp_path)

    async def scenario() -> None:
        launch = Launch(("/bin/sh", "-c", GATED, str(gate.path)))
        held = Held(await LocalBackend(state).launch(ATTEMPT, launch, Limits()), ATTEMPT)
        await held.output_until(b"ready")
        with Guard.connect(state / PLACE / "socket") as guard:
            pid = guard.guard_pid
        saved = held.running.save()
        await held.close()
        fill(small_disk)
        gate.open()
        eventually(lambda: not alive(pid), "the guard leaves")
        record = read_record(state / PLACE / "record")
        assert record is not None
        assert not record.retried
        assert not (state / PLACE / "record.tmp0").exists()
        again = Held(await LocalBackend(state).restore(ATTEMPT, saved), ATTEMPT)
        outcome = await again.end()
        assert (outcome.state, outcome.exit_code) == (TerminalState.FAILED, 7)
        await again.close()

    with contextlib.closing(gate):
        drive(scenario())


@pytest.mark.parametrize("spare", [1, 2])
def test_without_room_for_its_end_nothing_starts(tmp_path: Path, small_disk: Path, spare: int) -> None:
    """One page is the identity's; the output needs none until something is written."""
    state = small_disk / "state"
    backend = LocalBackend(state)
    fill(small_disk, spare)
    ran = tmp_path / "ran"

    async def scenario() -> None:
        with pytest.raises(StartError) as failed:
            await backend.launch(ATTEMPT, Launch(("/bin/sh", "-c", "echo > $0", str(ran))), Limits())
        assert failed.value.errno == errno.ENOSPC

    drive(scenario())
    assert not ran.exists()
    assert os.listdir(state) == []
