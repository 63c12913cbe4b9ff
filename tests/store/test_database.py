"""The file: made whole, private, shared by processes, brought up to date once, never read from behind a writer."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import apsw
import pytest
from crash.harness import need_root, open_folder
from store.making import ENV, PROGRAMS, ended, home, submission, umask

from raydp_wrap.errors import StoreError
from raydp_wrap.model import TerminalState
from raydp_wrap.store import Store, database
from raydp_wrap.store.migrations import MIGRATIONS

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["home", "open_folder"]


def test_an_import_loads_no_sqlite() -> None:
    program = "import sys, raydp_wrap.store; print({'apsw', 'sqlite3'} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", program], env=ENV, capture_output=True, check=True, text=True).stdout
    assert out == "set()\n"


def modes(home: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in home.iterdir()}


@pytest.mark.requirement("store-2.1")
@pytest.mark.parametrize("mask", [0, 0o077, 0o777])
def test_private_under_any_umask(home: Path, mask: int) -> None:
    with umask(mask), Store(home) as store:
        store.submit(submission())
        assert modes(home) == {"store.db": 0o600, "store.db-wal": 0o600, "store.db-shm": 0o600}


@pytest.mark.requirement("store-2.1")
def test_a_copy_that_others_could_read_is_closed_to_them(home: Path) -> None:
    Store(home).close()
    (home / "store.db").chmod(0o644)
    with Store(home) as store:
        store.submit(submission())
        assert set(modes(home).values()) == {0o600}


@pytest.mark.requirement("store-2.1")
def test_settings_that_make_a_commit_durable(home: Path) -> None:
    with Store(home) as store:
        connection = store._database._writer
        assert connection is not None
        assert connection.pragma("journal_mode") == "wal"
        assert connection.pragma("synchronous") == 2
        assert connection.pragma("user_version") == len(MIGRATIONS)


@pytest.mark.requirement("store-2.1")
def test_made_by_8_processes_at_once(home: Path) -> None:
    program = (
        "import sys; from store.making import submission; from raydp_wrap.store import Store\n"
        "sys.stdin.readline()\n"
        "with Store(sys.argv[1]) as store: store.submit(submission(sys.argv[2]))"
    )
    makers = [
        subprocess.Popen([sys.executable, "-c", program, str(home), f"job-{n}"], env=ENV, stdin=subprocess.PIPE)
        for n in range(8)
    ]
    for maker in makers:
        assert maker.stdin
        maker.stdin.write(b"\n")
        maker.stdin.flush()
    for maker in makers:
        maker.communicate(timeout=60)
    assert [maker.returncode for maker in makers] == [0] * 8
    with Store(home) as store:
        assert len(store.undecided()) == 8
    assert "store.db.new" not in os.listdir(home)


@pytest.mark.requirement("store-2.1")
def test_what_a_killed_maker_left_is_no_hindrance(home: Path) -> None:
    (home / "store.db.new").write_bytes(b"half")
    (home / "store.db.new-wal").write_bytes(b"half")
    with Store(home) as store:
        store.submit(submission())
    assert "store.db.new" not in os.listdir(home)


@pytest.mark.requirement("store-2.1")
def test_steps_are_taken_once_and_in_order(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store(home) as store:
        store.submit(submission())
        more = (*MIGRATIONS, "CREATE TABLE new (x)", "INSERT INTO new VALUES (1)")
        with monkeypatch.context() as patch:
            patch.setattr(database, "MIGRATIONS", more)
            for _ in range(2):
                with Store(home) as newer:
                    assert newer.submission("job") == submission()
        # The older one has it open all the while.
        with pytest.raises(StoreError, match="newer raydp-wrap"):
            store.submit(submission("other"))
        assert store.submission("other") is None
    connection = apsw.Connection(str(home / "store.db"))
    assert connection.execute("SELECT x FROM new").fetchall() == [(1,)]
    connection.close()


@pytest.mark.requirement("store-2.1")
def test_a_step_that_fails_leaves_no_half(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store(home) as store:
        store.submit(submission())
    with monkeypatch.context() as patch:
        patch.setattr(database, "MIGRATIONS", (*MIGRATIONS, "CREATE TABLE new (x)", "no SQL"))
        with pytest.raises(StoreError):
            Store(home)
    with Store(home) as store:
        store.finish(ended())


@pytest.mark.requirement("store-2.1")
@pytest.mark.parametrize("same_process", [True, False])
def test_a_reader_waits_for_no_writer(home: Path, same_process: bool) -> None:  # noqa: FBT001
    with Store(home) as store, Store(home, timeout=30) as other:
        store.submit(submission())
        writer = store if same_process else other
        with writer._database.write() as connection:
            connection.execute("UPDATE submissions SET name = 'changed'")
            begun = threading.Event()
            seen = []

            def read() -> None:
                begun.set()
                seen.append((store.undecided(), store.outcome("job"), store.next_due()))

            reader = threading.Thread(target=read)
            reader.start()
            reader.join(10)
            assert not reader.is_alive(), "a reader was held up"
        assert seen == [([submission()], None, None)]


@pytest.mark.requirement("store-2.1")
def test_another_process_reads_the_old_state_at_once(home: Path) -> None:
    with Store(home) as store:
        store.submit(submission())
        with store._database.write() as connection:
            connection.execute("DELETE FROM submissions")
            program = (
                "import sys; from raydp_wrap.store import Store\n"
                "with Store(sys.argv[1]) as store: print(len(store.undecided()))"
            )
            out = subprocess.run(
                [sys.executable, "-c", program, str(home)], env=ENV, capture_output=True, check=True, timeout=30
            )
            assert out.stdout == b"1\n"


def test_busy_for_too_long_is_said(home: Path) -> None:
    with Store(home) as store, Store(home, timeout=0.05) as other:
        store.submit(submission())
        with store._database.write():
            begun = time.monotonic()
            with pytest.raises(StoreError, match=r"held by another process for more than 0\.05 s"):
                other.finish(ended())
            assert time.monotonic() - begun >= 0.05
        other.finish(ended())
        assert store.outcome("job") == ended()


def change_and_raise(store: Store, error: type[BaseException]) -> None:
    with store._database.write() as connection:
        connection.execute("INSERT INTO attempts VALUES ('x', 1, 1, '{}')")
        raise error


@pytest.mark.requirement("store-2.1")
def test_an_error_in_a_transaction_leaves_the_store_usable(home: Path) -> None:
    with Store(home) as store:
        for error in (ValueError, KeyboardInterrupt):
            with pytest.raises(error):
                change_and_raise(store, error)
        connection = store._database._writer
        assert connection is not None
        connection.execute("BEGIN IMMEDIATE")  # an interruption before the block
        store.submit(submission())
        assert store.attempts("x") == []
        assert store.undecided() == [submission()]


@pytest.mark.requirement("store-2.1")
def test_the_log_does_not_grow_for_ever(home: Path) -> None:
    log = home / "store.db-wal"
    sizes = []
    for number in range(300):  # one commit a process, as it were
        with Store(home) as store:
            store.submit(submission(f"job-{number}"))
        sizes.append(log.stat().st_size if log.exists() else 0)
    assert max(sizes) < 512 * 1024
    with Store(home) as store:
        for number in range(3000):
            store.submit(submission(f"more-{number}"))
        assert log.stat().st_size < 8 * 1024 * 1024


@pytest.mark.requirement("store-2.1")
def test_the_log_of_the_killed_does_not_either(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_LONG_LOG", 64 * 1024)
    program = (
        "import os, sys; from store.making import submission; from raydp_wrap.store import Store, database\n"
        "database._LONG_LOG = 65536; store = Store(sys.argv[1])\n"
        "for n in range(5): store.submit(submission(f'{os.getpid()}-{n}'))\n"
        "os.kill(os.getpid(), 9)"
    )
    for _ in range(8):
        subprocess.run([sys.executable, "-c", program, str(home)], env=ENV, check=False)
    assert (home / "store.db-wal").stat().st_size < 64 * 1024 + 200_000
    with Store(home) as store:
        assert len(store.undecided()) == 40


@pytest.mark.requirement("fault-18")
@pytest.mark.parametrize("what", ["moved", "deleted", "replaced"])
def test_a_file_that_is_gone_acknowledges_nothing(home: Path, what: str) -> None:
    with Store(home) as store:
        store.submit(submission())
        if what == "deleted":
            (home / "store.db").unlink()
        else:
            home.rename(home.with_name("elsewhere"))
        if what == "replaced":
            home.mkdir(0o700)
            Store(home).close()
        for do in (lambda: store.finish(ended()), lambda: store.outcome("job")):
            with pytest.raises(StoreError, match="was moved or replaced while in use"):
                do()


def test_closed_is_closed(home: Path) -> None:
    with Store(home) as store:
        store.submit(submission())
    store.close()
    for do in (lambda: store.finish(ended()), lambda: store.outcome("job")):
        with pytest.raises(StoreError, match="is closed"):
            do()


@pytest.mark.parametrize(
    ("version", "safe"),
    [
        ("3.40.1", False), ("3.44.5", False), ("3.44.6", True), ("3.45.0", False), ("3.50.6", False),
        ("3.50.7", True), ("3.51.0", False), ("3.51.2", False), ("3.51.3", True), ("3.54.1", True), ("4.0.0", True),
    ],
)  # fmt: skip
@pytest.mark.requirement("store-2.1")
def test_an_sqlite_that_may_lose_commits_is_refused(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    version: str,
    safe: bool,  # noqa: FBT001
) -> None:
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: version)
    if safe:
        Store(home).close()
    else:
        with pytest.raises(StoreError, match=f"SQLite {version} .*apsw 3.51.3 or newer"):
            Store(home)
        assert os.listdir(home) == []


def test_a_home_that_is_missing_or_not_ours(home: Path) -> None:
    with pytest.raises(StoreError, match="No such file"):
        Store(home / "missing")
    need_root()
    os.chown(home, 0, 0)
    Store(home).close()
    os.chown(home / "store.db", 65534, 65534)
    with pytest.raises(StoreError, match="belongs to another user"):
        Store(home)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_no_right_to_it_is_said(open_folder: Path) -> None:
    need_root()

    def denied() -> None:
        os.seteuid(65534)
        home = open_folder / "home"
        home.mkdir(0o700)
        Store(home).close()
        (home / "store.db").chmod(0)
        Store(home)

    assert "can't be opened (Permission denied)" in in_child(denied)


def test_a_home_behind_a_link_and_a_relative_one(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = home.with_name("link")
    link.symlink_to(home)
    with Store(link) as store:
        store.submit(submission())
    monkeypatch.chdir(home.parent)
    with Store("home") as store:
        monkeypatch.chdir("/")
        store.finish(ended())


def in_child(do: object) -> str:
    """What DO returns in a forked child, which ends without the interpreter's tidying."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.write(write, str(do()).encode())  # type: ignore[operator]
        except BaseException as error:  # noqa: BLE001 - it is told
            os.write(write, repr(error).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as file:
        said = file.read()
    assert os.waitpid(pid, 0)[1] == 0
    return said


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_fork_can_not_use_it_nor_harm_it(home: Path) -> None:
    with Store(home) as store:
        store.submit(submission())
        assert "was opened before a fork" in in_child(lambda: store.finish(ended()))
        assert "was opened before a fork" in in_child(lambda: store.outcome("job"))
        assert in_child(store.close) == "None"
        assert "was forked from one that uses the store" in in_child(lambda: Store(home))
        store.finish(ended())
        with Store(home) as other:
            assert other.outcome("job") == ended()
    # Nobody of its ancestors has it open any more.
    assert "FAILED" in in_child(lambda: Store(home).outcome("job"))


def test_a_forked_childs_ordinary_end_closes_nothing_of_its_parents(home: Path) -> None:
    """In a transaction that has reached the shared log already: a close would roll it back there."""
    program = (
        "import os, sys; from store.making import ended, submission; from raydp_wrap.store import Store\n"
        "store = Store(sys.argv[1]); store.submit(submission())\n"
        "connection = store._database._writer\n"
        "connection.pragma('cache_size', 2); connection.pragma('cache_spill', 1)\n"
        "connection.execute('BEGIN IMMEDIATE')\n"
        "for n in range(200):\n"
        "    values = f'x{n}', '\"' + 'y' * 900 + '\"'\n"
        "    connection.execute('INSERT INTO attempts VALUES (?, 1, 1, ?)', values)\n"
        "del connection\n"
        "pid = os.fork()\n"
        "if not pid: sys.exit(7)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7\n"
        "store._database._writer.execute('COMMIT'); store.finish(ended())\n"
        "with Store(sys.argv[1]) as other, other._database.read() as connection:\n"
        "    assert connection.execute('SELECT count(*) FROM attempts').fetchall() == [(201,)]\n"
        "    assert connection.pragma('integrity_check') == 'ok'\n"
    )
    subprocess.run([sys.executable, "-c", program, str(home)], env=ENV, timeout=60, check=True)
    with Store(home) as store:
        assert store.outcome("job") == ended()
        assert len(store.attempts("x199")) == 1


@pytest.mark.requirement("store-2.1")
def test_many_processes_commit_side_by_side(home: Path) -> None:
    programs = [
        subprocess.Popen(
            [sys.executable, PROGRAMS / "committer.py", f"p{n}", "2"],
            env=ENV,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(4)
    ]
    try:
        for program in programs:
            assert program.stdin
            program.stdin.write(f"{home}\n")
            program.stdin.flush()
        acknowledged: set[str] = set()
        for program in programs:
            assert program.stdout
            for _ in range(60):
                word, _, rest = program.stdout.readline().strip().partition(" ")
                assert word in ("submitted", "finished", "delivered"), rest
                if word == "finished":
                    acknowledged.add(rest)
    finally:
        for program in programs:
            program.kill()
            program.communicate()
    assert len(acknowledged) > 50
    with Store(home) as store:
        for job in acknowledged:
            assert store.outcome(job) == ended(job, TerminalState.FAILED, job)
