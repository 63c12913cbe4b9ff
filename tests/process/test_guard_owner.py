"""Attached: the tree lives no longer than its owner, whatever ends it, and somebody says so."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from crash.harness import PATIENCE, Owner, Ready, Tree, need, need_root, open_folder, start_time, strays, until

from raydp_wrap.model import Cause, Launch
from raydp_wrap.process import Guard
from raydp_wrap.process import record as records

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.usefixtures("strays")
__all__ = ["open_folder", "strays"]

# What it was given on stdin, and its session and parent, in one rename: a reader sees all or nothing.
DELIVER = 'cat > "$0.part"; read -r pid _ _ _ _ sid _ < /proc/$$/stat; echo "$sid $pid" > "$0.sid"; mv "$0.part" "$0"'


def delivery(folder: Path) -> tuple[list[str], Path]:
    out = folder / "delivered"
    return ["/bin/sh", "-c", DELIVER, str(out)], out


def plan(tree: Tree, folder: Path, *then: str, **start: object) -> dict[str, object]:
    options = {"grace": 0.2, "sweep_grace": 0.1, "identity": tree.marker, "record": str(folder / "record"), **start}
    return {"argv": tree.argv, "start": options, "then": then}


@pytest.mark.requirement("guard-2.2", "fault-1")
@pytest.mark.parametrize("end", ["SIGKILL", "exit", "_exit", "exec", "drop", "hold"])
def test_the_owner_ends_in_its_own_way(end: str, tmp_path: Path) -> None:
    tree = Tree(tmp_path, "setsid")
    command, delivered = delivery(tmp_path)
    owner = Owner(plan(tree, tmp_path, *(() if end == "SIGKILL" else (end,)), on_owner_death=command))
    owner.started()
    holder = 0
    if end == "hold":
        owner.go()
        holder = owner.line()["holder"]
    elif end != "SIGKILL":
        owner.go()
    if end in ("SIGKILL", "hold"):
        owner.process.send_signal(signal.SIGKILL)
    try:
        record = until(lambda: records.read(tmp_path / "record"), "the record")
        assert record.cause is Cause.OWNER_DIED
        assert record.driver is not None
        assert record.driver.signal == 15
        assert record.tree_empty
        if end in ("exec", "drop"):  # the process lives on: nobody has died, and the tree is gone all the same
            owner.process.kill()
        owner.end()
        until(delivered.exists, "the delivery")
    finally:
        if holder:
            os.kill(holder, signal.SIGKILL)
    tree.assert_gone()
    assert records.parse(delivered.read_bytes()) == record
    session, pid = (tmp_path / "delivered.sid").read_text().split()
    assert session == pid, "in a session of its own"


@pytest.mark.requirement("guard-2.2")
def test_no_delivery_after_done(tmp_path: Path) -> None:
    tree = Tree(tmp_path, "alone", "exit3")
    command, delivered = delivery(tmp_path)
    owner = Owner(plan(tree, tmp_path, "wait", "done", on_owner_death=command))
    owner.started()
    owner.go()
    assert owner.line()["code"] == 3
    assert os.path.exists(f"/proc/{owner.guard}"), "the guard stays until its owner has reported"
    owner.go()
    assert owner.line()["done"]
    until(lambda: not alive(owner.guard), "the guard leaves")
    owner.kill()
    assert not delivered.exists()


def alive(pid: int) -> bool:
    return start_time(pid) is not None


@pytest.mark.requirement("guard-2.2")
def test_delivery_when_the_owner_dies_between_end_and_report(tmp_path: Path) -> None:
    tree = Tree(tmp_path, "alone", "exit3")
    command, delivered = delivery(tmp_path)
    owner = Owner(plan(tree, tmp_path, "wait", on_owner_death=command))
    owner.started()
    owner.go()
    assert owner.line()["code"] == 3
    owner.kill()
    until(delivered.exists, "the delivery")
    record = records.parse(delivered.read_bytes())
    assert record.cause is Cause.NONE
    assert record.driver is not None
    assert record.driver.code == 3
    until(lambda: not alive(owner.guard), "the guard leaves")


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    need_root()
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "none", str(folder)], check=False)
    need(done.returncode == 0, "a tmpfs can't be mounted here")
    with (folder / "ballast").open("wb", buffering=0) as file:
        while file.tell() < 16384:
            file.write(bytes(4096))
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.requirement("guard-2.2", "fault-15")
def test_delivery_on_a_full_disk(tmp_path: Path, full_disk: Path) -> None:
    tree = Tree(tmp_path, "setsid")
    command, delivered = delivery(tmp_path)
    owner = Owner(plan(tree, tmp_path, on_owner_death=command, record=str(full_disk / "record")))
    owner.started()
    owner.kill()
    until(delivered.exists, "the delivery")
    record = records.parse(delivered.read_bytes())
    assert record.cause is Cause.OWNER_DIED
    assert record.tree_empty
    assert os.listdir(full_disk) == ["ballast"]
    tree.assert_gone()


@pytest.mark.requirement("guard-2.2")
def test_close_ends_the_tree_though_a_forked_child_holds_the_socket(tmp_path: Path) -> None:
    tree = Tree(tmp_path, "setsid")
    owner = Owner(plan(tree, tmp_path, "hold", "close"))
    owner.started()
    owner.go()
    holder = owner.line()["holder"]
    try:
        owner.go()
        assert owner.line()["closed"]
        tree.assert_gone(owner.process.pid, holder)
    finally:
        os.kill(holder, signal.SIGKILL)
        owner.kill()


@pytest.mark.requirement("guard-2.2")
def test_a_forked_child_that_closes_ends_nothing(tmp_path: Path) -> None:
    tree = Tree(tmp_path, "setsid")
    ready = Ready()
    with Guard.start(Launch(argv=tree.argv), stdout=ready.write_end, sweep_grace=0.1) as guard:
        ready.wait()
        pid = os.fork()
        if pid == 0:
            guard.close()
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        assert guard.state().name == "RUNNING"
    ready.wait_eof()
    ready.close()
    tree.assert_gone()


@pytest.mark.requirement("guard-2.2")
def test_an_owner_that_does_not_read_is_told_in_the_end(tmp_path: Path) -> None:
    """Its queue is full of news; a guard with a delivery to make can't leave, so it must not lose the word."""
    command, delivered = delivery(tmp_path)
    with Guard.start(
        Launch(argv=("/bin/sh", "-c", "read x; exit 7")),
        stdin=(pipe := os.pipe())[0],
        on_owner_death=command,
        record=tmp_path / "record",
    ) as guard:
        os.close(pipe[0])
        poll = select.poll()
        poll.register(guard.fileno(), select.POLLIN)
        for _ in range(1000):  # each is answered into a queue that nobody empties
            guard._ask(4)
        os.close(pipe[1])
        until(lambda: records.read(tmp_path / "record"), "the record")
        record = guard.wait(PATIENCE)
        assert record.cause is Cause.NONE
        assert record.driver is not None
        assert record.driver.code == 7
    assert not delivered.exists()


@pytest.mark.requirement("guard-2.2")
def test_owner_of_another_user(open_folder: Path) -> None:
    """The guard of a user who is not root, and not dumpable, still finds and ends its tree."""
    need_root()
    tree = Tree(open_folder, "double-fork")
    given = plan(tree, open_folder)
    given["uid"] = 65534
    owner = Owner(given)
    owner.started()
    assert "Uid:\t65534" in Path(f"/proc/{owner.guard}/status").read_text()
    owner.kill()
    record = until(lambda: records.read(open_folder / "record"), "the record")
    assert record.tree_empty
    tree.assert_gone()
