"""The delivery command runs in its owner's environment, whatever the driver's is, and without the job's mark."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
from crash.harness import Owner, strays, until
from crash.traced import traced_guard

from raydp_wrap.model import Launch
from raydp_wrap.process import Guard
from raydp_wrap.process.sweep import MARK

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.usefixtures("strays"), pytest.mark.requirement("guard-2.2")]
__all__ = ["strays"]

SHOW = 'cat /proc/$$/environ > "$0.part"; cat > "$0.record"; mv "$0.part" "$0"'


def shown(path: Path) -> dict[str, str]:
    until(path.exists, f"{path.name} says what environment it has")
    entries = path.read_bytes().split(b"\0")
    assert entries.pop() == b""
    found = dict(os.fsdecode(entry).split("=", 1) for entry in entries)
    assert len(found) == len(entries)
    return found


def delivered(folder: Path, env: dict[str, str] | None, **start: object) -> tuple[dict[str, str], dict[str, str]]:
    """The driver's environment, and the delivery's."""
    driver, delivery = folder / "driver", folder / "delivery"
    owner = Owner({
        "argv": ["/bin/sh", "-c", f"{SHOW}; exec /bin/sleep 60", str(driver)],
        "env": env,
        "start": {"on_owner_death": ["/bin/sh", "-c", SHOW, str(delivery)], "sweep_grace": 0.1, **start},
    })  # fmt: skip
    owner.started()
    seen = shown(driver)
    owner.kill()
    told = shown(delivery)
    assert json.loads((folder / "delivery.record").read_bytes())["cause"]
    return seen, told


@pytest.fixture
def owners(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What the owner has that nobody else has."""
    env = {"RAYDP_TEST_A": "with spaces\n\u00e9=", "RAYDP_TEST_EMPTY": "", "RAYDP_TEST_LONG": "x" * 100_000}
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    return env


@pytest.mark.parametrize(
    "env",
    [None, {}, {"PATH": "/bin:/usr/bin", "RAYDP_TEST_A": "edited", "RAYDP_TEST_DRIVER": "1"}],
    ids=["inherited", "empty", "edited"],
)
def test_it_is_the_owners(env: dict[str, str] | None, owners: dict[str, str], tmp_path: Path) -> None:
    # A shell's commands are found along a PATH of its own where there is none.
    seen, told = delivered(tmp_path, env, identity="the-job")
    assert seen.pop(MARK) == "the-job"
    if env is None:
        assert seen == told
    else:
        assert seen == env
    assert MARK not in told
    assert owners.items() <= told.items()
    assert told["PATH"] == os.environ["PATH"]
    assert "RAYDP_TEST_DRIVER" not in told
    assert set(os.environ) - {MARK} <= set(told)


def test_the_mark_of_an_outer_job_is_left_out_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(MARK, "outer")
    for number, env in enumerate((None, {})):
        folder = tmp_path / str(number)
        folder.mkdir()
        seen, told = delivered(folder, env)
        assert seen[MARK] != "outer"
        assert MARK not in told


@pytest.mark.usefixtures("owners")
def test_the_driver_has_no_descriptor_of_it() -> None:
    with Guard.start(Launch(("/bin/sleep", "60"), env={}), on_owner_death=("/bin/true",)) as guard:
        # A vfork is over a moment before exec closes what is to be closed.
        until(lambda: len(os.listdir(f"/proc/{guard.pid}/fd")) == 3, "the driver has 0 to 2 and nothing else")
        assert any("memfd:" in os.readlink(f"/proc/{guard.guard_pid}/fd/{fd}") for fd in open_in(guard.guard_pid))
        assert not any("memfd:" in os.readlink(f"/proc/self/fd/{fd}") for fd in open_in(os.getpid()))


def open_in(pid: int) -> list[str]:
    return [fd for fd in os.listdir(f"/proc/{pid}/fd") if os.path.islink(f"/proc/{pid}/fd/{fd}")]


def test_where_there_is_no_memory_for_it_the_drivers_has_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "delivery"
    traced_guard(monkeypatch, tmp_path, "--inject=mmap:error=ENOMEM")
    env = {"PATH": "/bin:/usr/bin"}
    with Guard.start(
        Launch(("/bin/sleep", "60"), env=env), on_owner_death=("/bin/sh", "-c", SHOW, str(out)), sweep_grace=0.1
    ):
        pass  # let go before its end: to the guard that is an owner's death
    told = shown(out)
    assert told["PATH"] == env["PATH"]
    assert told.keys() <= {"PATH", "PWD", "OLDPWD", "SHLVL", "_"}  # the tracer's shell has its own additions
