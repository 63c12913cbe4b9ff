"""A run's directory, and the lock that says whether anybody sees to it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from programs.facts import environment

from raydp_wrap.errors import UsageError
from raydp_wrap.runs import Run

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.requirement("store-2.5")

HOLD = """
import sys
from pathlib import Path
from raydp_wrap.runs import Run
run = Run.create(Path(sys.argv[1]), "other")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


def test_it_is_private_and_holds_its_lock(home: Path) -> None:
    with Run.create(home, "one") as run:
        assert run.submission_id == "one"
        assert (home / "run").stat().st_mode & 0o777 == 0o700
        assert run.directory.stat().st_mode & 0o777 == 0o700
        assert (run.directory / "lock").stat().st_mode & 0o777 == 0o600
        assert not os.get_inheritable(run.lock)
        assert Run.adopt(home, "one") is None
    assert list(Run.all(home)) == ["one"]


def test_an_id_is_taken_once(home: Path) -> None:
    with Run.create(home, "one"), pytest.raises(FileExistsError):
        Run.create(home, "one")


def test_what_nobody_sees_to_is_adopted_by_one(home: Path) -> None:
    Run.create(home, "one").close()
    with Run.adopt(home, "one") as run:  # type: ignore[union-attr]
        assert Run.adopt(home, "one") is None
        run.remove()
    assert list(Run.all(home)) == []
    assert Run.adopt(home, "one") is None


def test_what_another_process_sees_to_is_left_until_that_dies(home: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()
    ) as other:
        assert other.stdout
        assert other.stdout.readline() == b"held\n"
        assert Run.adopt(home, "other") is None
        other.kill()
        other.wait()
    run = Run.adopt(home, "other")
    assert run is not None
    run.close()


def test_a_repair_that_came_between_takes_the_new_one_s_place(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between making the directory and taking the lock: the maker notices, and takes another id."""
    from raydp_wrap import runs  # noqa: PLC0415

    locked = runs._locked

    def repaired_first(fd: int) -> bool:
        monkeypatch.setattr(runs, "_locked", locked)
        with Run.adopt(home, "one") as found:  # type: ignore[union-attr]
            found.remove()
        return locked(fd)

    monkeypatch.setattr(runs, "_locked", repaired_first)
    with pytest.raises(FileExistsError):
        Run.create(home, "one")


@pytest.mark.requirement("fault-40")
@pytest.mark.parametrize("kind", ["symlink", "fifo"])
def test_what_lies_in_the_lock_s_place_is_not_followed(home: Path, kind: str) -> None:
    (home / "run" / "one").mkdir(parents=True)
    target = home / "target"
    target.write_text("mine")
    lock = home / "run" / "one" / "lock"
    if kind == "symlink":
        lock.symlink_to(target)
        assert Run.adopt(home, "one") is None
    else:
        os.mkfifo(lock)
        found = Run.adopt(home, "one")  # opening a FIFO for both ways does not block
        assert found is None or found.close() is None
    assert target.read_text() == "mine"


@pytest.mark.parametrize("kind", ["file", "link to nowhere"])
def test_where_it_can_t_be_made_is_said(home: Path, kind: str) -> None:
    """Not as FileExistsError: to a caller that means another id, for ever."""
    if kind == "file":
        (home / "run").write_text("in the way")
    else:
        (home / "run").symlink_to("nowhere/run")
    with pytest.raises(UsageError, match="RAYDP_WRAP_HOME"):
        Run.create(home, "one")


@pytest.mark.requirement("fault-40")
def test_a_link_in_a_run_s_place_is_no_run_and_its_target_untouched(home: Path) -> None:
    target = home / "target"
    (target / "deeper").mkdir(parents=True)
    for name in ("lock", "room", "exit.json", "mine", "deeper/mine"):
        (target / name).write_text(name)
    before = sorted(target.rglob("*"))
    (home / "run").mkdir()
    (home / "run" / "zz1").symlink_to(target)
    assert list(Run.all(home)) == []
    assert Run.adopt(home, "zz1") is None
    assert not Run.exists(home, "zz1")
    Run(home / "run" / "zz1", -1).remove()
    assert sorted(target.rglob("*")) == before
    assert (home / "run" / "zz1").is_symlink()


@pytest.mark.requirement("fault-40")
def test_only_what_is_named_like_a_submission_is_a_run(home: Path) -> None:
    for name in (".hidden", "-x", "a b", "x\n", "\u00e4", "x" * 101):
        (home / "run" / name).mkdir(parents=True)
    (home / "run" / "file").touch()
    for name in ("A-1_2.c", "x" * 100):
        (home / "run" / name).mkdir()
    assert list(Run.all(home)) == ["A-1_2.c", "x" * 100]


@pytest.mark.requirement("fault-40")
def test_only_what_is_ours_is_removed(home: Path) -> None:
    (home / "mine").write_text("mine")
    ours = ("exit.json", "exit.json.tmp0", "outcome.json", "outcome.json.tmp-a")
    with Run.create(home, "one") as run:
        for name in (*ours, "notes", "exit.json.old"):
            (run.directory / name).write_text(name)
        (run.directory / "deeper").mkdir()
        (run.directory / "deeper" / "lock").touch()
        (run.directory / "link").symlink_to(home / "mine")
        run.remove()
        left = sorted(str(path.relative_to(run.directory)) for path in run.directory.rglob("*"))
        assert left == ["deeper", "deeper/lock", "exit.json.old", "link", "notes"]
    with Run.create(home, "two") as run:
        for name in ours:
            (run.directory / name).write_text(name)
        run.remove()
        assert not run.directory.exists()
    assert (home / "mine").read_text() == "mine"
