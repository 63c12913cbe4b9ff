"""What is not a store of ours, or is one no more, is refused in a sentence and left as it is."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import apsw
import pytest
from store.making import contents, ended, home, submission

from raydp_wrap.errors import RaydpWrapError, StoreError
from raydp_wrap.store import Claimer, Store
from raydp_wrap.store.migrations import MIGRATIONS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["home"]


def filled(home: Path, jobs: int = 30) -> None:
    """With all of it in the database itself, and nothing in the log."""
    with Store(home) as store:
        for number in range(jobs):
            store.submit(submission(f"job-{number}"))
            store.finish(ended(f"job-{number}"))
    connection = apsw.Connection(str(home / "store.db"))
    connection.pragma("user_version")  # before its first look it does not know of the log
    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    connection.close()
    assert os.listdir(home) == ["store.db"]


def refused(home: Path, why: str) -> None:
    before = contents(home)
    for _ in range(2):
        with pytest.raises(StoreError, match=why) as caught:
            Store(home)
        assert "\n" not in str(caught.value)
        assert str(home) in str(caught.value)
    after = contents(home)
    after.pop("store.db-wal", None)
    before.pop("store.db-wal", None)
    assert after == before, "kept byte for byte"


@pytest.mark.requirement("fault-19", "fault-21")
@pytest.mark.parametrize("size", [0, 1, 50, 99, 100, 512, 4095, 4096, 8192])
def test_truncated(home: Path, size: int) -> None:
    filled(home)
    os.truncate(home / "store.db", size)
    refused(home, "is damaged .*: move it away")


@pytest.mark.requirement("fault-19", "fault-21")
@pytest.mark.parametrize("data", [b"x", b"garbage\n" * 1000, bytes(8192), b"SQLite format 3\0" + b"\xff" * 9000])
def test_garbage(home: Path, data: bytes) -> None:
    (home / "store.db").write_bytes(data)
    refused(home, "is damaged .*: move it away")


@pytest.mark.requirement("fault-19", "fault-21")
def test_a_newer_schema(home: Path) -> None:
    filled(home)
    connection = apsw.Connection(str(home / "store.db"))
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.close()
    refused(home, "was written by a newer raydp-wrap: use that one, or set RAYDP_WRAP_HOME elsewhere")
    assert os.listdir(home) == ["store.db"]


@pytest.mark.requirement("fault-21")
def test_another_programs_database(home: Path) -> None:
    connection = apsw.Connection(str(home / "store.db"))
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    refused(home, "is damaged .it is another program's database")


@pytest.mark.requirement("fault-21")
def test_a_log_whose_store_is_lost(home: Path) -> None:
    store = Store(home)
    store.submit(submission())
    os.rename(home / "store.db", home / "elsewhere")
    refused(home, r"store\.db-wal is there without its store")
    os.rename(home / "elsewhere", home / "store.db")
    store.finish(ended())
    store.close()


@pytest.mark.requirement("fault-21")
def test_lost_altogether(home: Path) -> None:
    filled(home)
    (home / "store.db").unlink()
    with Store(home) as store:
        assert store.undecided() == []


@pytest.mark.requirement("fault-19", "fault-21")
def test_flipped_pages_are_never_a_wrong_state(home: Path) -> None:
    """Whatever is overwritten: each answer is the true one, or a StoreError."""
    filled(home)
    whole = (home / "store.db").read_bytes()
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    errors = []
    for _ in range(60):
        page = rng.randrange(len(whole) // 4096)
        damaged = whole[: page * 4096] + rng.randbytes(4096) + whole[(page + 1) * 4096 :]
        for path in home.iterdir():
            path.unlink()
        (home / "store.db").write_bytes(damaged)
        try:
            with Store(home) as store:
                for number in rng.sample(range(30), 5):
                    job = f"job-{number}"
                    outcome = store.outcome(job)
                    if outcome is not None:
                        assert outcome == ended(job)
                    with pytest.raises(RaydpWrapError):
                        store.finish(ended(job))
                store.claim(Claimer.of_this_process())
        except StoreError as error:
            errors.append(str(error))
    assert len(errors) > 20
    assert [text for text in errors if "is damaged" not in text and "can't be understood" not in text] == []


def a_link(path: Path) -> None:
    path.symlink_to(path.parent.parent / "target")


def a_hard_link(path: Path) -> None:
    os.link(path.parent.parent / "target", path)


def a_fifo(path: Path) -> None:
    os.mkfifo(path)


def a_directory(path: Path) -> None:
    path.mkdir()


@pytest.mark.requirement("fault-40")
@pytest.mark.parametrize("name", ["store.db", "store.db-wal", "store.db-shm", "store.db-journal"])
@pytest.mark.parametrize("put", [a_link, a_hard_link, a_fifo, a_directory])
def test_what_stands_where_a_file_goes(home: Path, name: str, put: Callable[[Path], None]) -> None:
    target = home.parent / "target"
    target.write_bytes(b"untouched")
    before = target.stat()
    if name != "store.db":
        filled(home, 1)
    put(home / name)
    with pytest.raises(StoreError, match=f"{name} is (not a file|linked to from elsewhere)"):
        Store(home)
    after = target.stat()
    assert target.read_bytes() == b"untouched"
    assert (after.st_mode, after.st_mtime_ns, after.st_size) == (before.st_mode, before.st_mtime_ns, before.st_size)
    os.unlink(home / name) if put is not a_directory else os.rmdir(home / name)
    with Store(home) as store:
        store.submit(submission())


@pytest.mark.requirement("fault-40")
def test_a_dangling_link_makes_no_file_elsewhere(home: Path) -> None:
    (home / "store.db").symlink_to(home.parent / "made")
    with pytest.raises(StoreError, match="is not a file"):
        Store(home)
    assert not (home.parent / "made").exists()


@pytest.mark.requirement("fault-40")
@pytest.mark.parametrize("put", [a_link, a_fifo, a_directory])
def test_what_stands_where_a_new_store_is_made(home: Path, put: Callable[[Path], None]) -> None:
    target = home.parent / "target"
    target.write_bytes(b"untouched")
    put(home / "store.db.new")
    try:
        Store(home).close()
    except StoreError as error:
        assert put is a_directory
        assert "Is a directory" in str(error)  # noqa: PT017 - only one of the three is refused
    assert target.read_bytes() == b"untouched"
