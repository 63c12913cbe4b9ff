"""Trees that must not survive: every shape, every containment, every way in which it can come to its end."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from crash.harness import Owner, Ready, Tree, has_cgroup, kill_quietly, need, strays, until

from raydp_wrap.model import Launch
from raydp_wrap.process import Guard
from raydp_wrap.process import record as records
from raydp_wrap.process.record import Cause

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from raydp_wrap.process.record import ExitRecord

pytestmark = pytest.mark.usefixtures("strays")
__all__ = ["strays"]

SHAPES = [
    pytest.param("background", marks=pytest.mark.requirement("tree-background", "guard-2.4")),
    pytest.param("setsid", marks=pytest.mark.requirement("tree-setsid", "guard-2.4")),
    pytest.param("double-fork", marks=pytest.mark.requirement("tree-double-fork", "guard-2.4")),
    pytest.param("fork-bomb", marks=pytest.mark.requirement("tree-fork-bomb", "fault-5", "guard-2.4")),
    pytest.param("reforker", marks=pytest.mark.requirement("fault-5", "guard-2.4")),
    pytest.param("ignores-term", marks=pytest.mark.requirement("tree-ignores-term", "fault-7")),
    pytest.param("stopped", marks=pytest.mark.requirement("tree-stopped", "fault-7")),
    pytest.param("subreaper", marks=pytest.mark.requirement("fault-6")),
    pytest.param("closes-fds", marks=pytest.mark.requirement("fault-6")),
]


@pytest.fixture(params=["tree", "cgroup"])
def containment(request: pytest.FixtureRequest) -> str:
    need(request.param == "tree" or has_cgroup(), "no cgroup v2 that can be written to")
    return str(request.param)


@pytest.fixture
def ready() -> Iterator[Ready]:
    pipe = Ready()
    yield pipe
    pipe.close()


def started(tree: Tree, ready: Ready, containment: str, folder: Path) -> Guard:
    guard = Guard.start(
        Launch(argv=tree.argv),
        stdout=ready.write_end,
        grace=0.2,
        sweep_grace=0.1,
        containment=containment,  # type: ignore[arg-type]
        record=folder / "record",
    )
    try:
        ready.wait()
    except BaseException:
        guard.close()
        raise
    return guard


def assert_no_cgroup(place: tuple[str, str] | None) -> None:
    assert place is None or not os.path.exists(os.path.join(*place))


def assert_proven_empty(record: ExitRecord, containment: str) -> None:
    assert record.tree_empty
    assert record.survivors == ()
    assert record.guard_errno == 0
    assert record.cgroup == (containment == "cgroup")


@pytest.mark.parametrize("shape", SHAPES)
def test_driver_exits_0(shape: str, containment: str, ready: Ready, tmp_path: Path) -> None:
    tree = Tree(tmp_path, shape, "exit")
    with started(tree, ready, containment, tmp_path) as guard:
        record = guard.wait(20)
        tree.assert_gone_now(guard.guard_pid)
        ready.wait_eof()
    assert record.driver is not None
    assert record.driver.code == 0
    assert record.cause is Cause.NONE
    assert record.swept_term + record.swept_kill > 0
    assert_proven_empty(record, containment)
    assert_no_cgroup(guard._cgroup)


@pytest.mark.parametrize("shape", SHAPES)
def test_stop_is_asked_for(shape: str, containment: str, ready: Ready, tmp_path: Path) -> None:
    tree = Tree(tmp_path, shape)
    with started(tree, ready, containment, tmp_path) as guard:
        guard.stop(label="test")
        record = guard.wait(20)
        tree.assert_gone_now(guard.guard_pid)
        ready.wait_eof()
    assert record.driver is not None
    assert record.driver.signal in (9, 15)
    assert record.cause is Cause.REQUEST
    assert_proven_empty(record, containment)


@pytest.mark.requirement("guard-2.2", "fault-1")
@pytest.mark.parametrize("shape", SHAPES)
def test_owner_is_killed(shape: str, containment: str, ready: Ready, tmp_path: Path) -> None:
    tree = Tree(tmp_path, shape)
    start = {
        "grace": 0.2,
        "sweep_grace": 0.1,
        "containment": containment,
        "record": str(tmp_path / "record"),
        "stdout": ready.write_end,
        "identity": tree.marker,
    }
    owner = Owner({"argv": tree.argv, "start": start}, pass_fds=[ready.write_end])
    owner.started()
    ready.wait()
    owner.kill()
    ready.wait_eof()
    tree.assert_gone()
    record = until(lambda: records.read(tmp_path / "record"), "the record")
    assert record.cause is Cause.OWNER_DIED
    assert record.identity == tree.marker
    assert record.driver_pid == owner.driver
    assert_proven_empty(record, containment)
    until(lambda: not os.path.exists(owner.cgroup), "its cgroup is removed")


@pytest.mark.requirement("guard-2.6", "fault-2")
@pytest.mark.parametrize("shape", SHAPES)
def test_guard_is_killed(shape: str, containment: str, ready: Ready, tmp_path: Path) -> None:
    tree = Tree(tmp_path, shape)
    with started(tree, ready, containment, tmp_path) as guard:
        kill_quietly(guard.guard_pid)
        record = guard.wait(20)
    ready.wait_eof()
    tree.assert_gone()
    assert record.driver is None
    assert record.cause is Cause.GUARD_LOST
    assert record.stop is None
    assert record.tree_empty == (containment == "cgroup")
    assert any("not proven" in note for note in record.notes) == (containment == "tree")
    assert_no_cgroup(guard._cgroup)
    assert not os.path.exists(tmp_path / "record")
