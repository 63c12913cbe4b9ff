"""The guard killed, and failed, at every system call of a whole life: no hang, no survivor, no untruth."""

from __future__ import annotations

import contextlib
import os
import random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from crash.harness import Ready, Tree, strays
from crash.traced import calls, traced_guard

from raydp_wrap.errors import GuardLostError, StartError
from raydp_wrap.model import Cause, Launch
from raydp_wrap.process import Guard
from raydp_wrap.process import record as records

if TYPE_CHECKING:
    from pathlib import Path

    from raydp_wrap.model import ExitRecord

pytestmark = pytest.mark.usefixtures("strays")
__all__ = ["strays"]

ERRORS = ("EIO", "ENOSPC", "ENOMEM", "EMFILE", "EINTR", "ENOSYS", "EPERM")
LIVES = ("swept", "stopped")


def live(life: str, folder: Path) -> None:
    """One whole life under whatever is injected, and what must hold at its end."""
    tree = Tree(folder, "setsid" if life == "swept" else "ignores-term", "exit3" if life == "swept" else "stay")
    path = folder / f"{tree.marker}.record"
    ready = Ready()
    record: ExitRecord | None = None
    guard: Guard | None = None
    try:
        try:
            guard = Guard.start(
                Launch(argv=tree.argv),
                stdout=ready.write_end,
                identity=tree.marker,
                record=path,
                grace=0.02,
                sweep_grace=0.02,
                reap_timeout=0.1,
            )
        except (StartError, GuardLostError):
            pass
        else:
            with guard:
                if life == "stopped":
                    with contextlib.suppress(AssertionError):  # it may be ended before it is ready
                        ready.wait()
                    guard.stop(label="test")
                record = guard.wait(60)
        ready.wait_eof()
        tree.assert_gone()
    finally:
        ready.close()
        if guard is not None and guard._cgroup is not None:
            with contextlib.suppress(FileNotFoundError):  # where rmdir itself was failed
                os.rmdir(os.path.join(*guard._cgroup))
    if record is None:
        return
    if record.driver is not None:
        expected = {3, -9, -15} if life == "swept" else {-9, -15}
        assert record.driver.returncode in expected, "never a false success"
        if record.cause is Cause.NONE:
            assert record.driver.returncode == 3
    if record.cause is not Cause.GUARD_LOST and not record.not_durable:
        found = records.read(path)
        assert found is not None, "acknowledged and not there"
        assert replace(found, swept_kill=0) == replace(record, swept_kill=0, notes=(), retried=0)


def sites(life: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """(call, Nth) of one undisturbed life; execve is the start itself, exit_group its end."""
    with monkeypatch.context() as patch:
        log = traced_guard(patch, folder)
        live(life, folder)
    return [(call, n) for call, count in calls(log).items() if call != "execve" for n in range(1, count + 1)]


def injections(life: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found = sites(life, folder, monkeypatch)
    assert len({call for call, _ in found}) > 20, "the whole of a life was seen"
    wanted = [f"{call}:signal=KILL:when={n}" for call, n in found]
    failing = [(call, n) for call, n in found if call != "exit_group"]
    wanted += [f"{call}:error={error}:when={n}" for call, n in failing for error in ERRORS]
    wanted += [f"{call}:error={error}:when=1+" for call in dict.fromkeys(c for c, _ in failing) for error in ERRORS]
    return wanted


def run(life: str, wanted: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = []
    for text in wanted:
        with monkeypatch.context() as patch:
            traced_guard(patch, folder, f"--inject={text}")
            try:
                live(life, folder)
            except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - the rest is tried as well
                failed.append(f"{text}: {type(error).__name__}: {error}")
    assert not failed, f"{len(failed)} of {len(wanted)}"


@pytest.mark.requirement("guard-syscalls", "fault-2")
@pytest.mark.parametrize("life", LIVES)
def test_sample(life: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = injections(life, tmp_path, monkeypatch)
    seed = random.randrange(2**32)
    print(f"seed {seed}, {len(wanted)} injections in all")
    run(life, random.Random(seed).sample(wanted, 60), tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.requirement("guard-syscalls", "fault-2")
@pytest.mark.parametrize("life", LIVES)
def test_every_call(life: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = injections(life, tmp_path, monkeypatch)
    print(f"{len(wanted)} injections")
    run(life, wanted, tmp_path, monkeypatch)
