"""The job's cgroup: found, used, ended with what is inside, and never left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from crash.harness import Ready, Tree, has_cgroup, kill_quietly, need, strays, until
from crash.traced import traced_guard

from raydp_wrap.errors import UsageError
from raydp_wrap.model import Launch
from raydp_wrap.process import Guard, cgroup

pytestmark = [pytest.mark.usefixtures("strays"), pytest.mark.requirement("guard-2.4")]
__all__ = ["strays"]


@pytest.fixture
def parent() -> Path:
    need(has_cgroup(), "no cgroup v2 that can be written to")
    found = cgroup.locate()[0]
    assert found
    return Path(found)


def test_end_kills_and_removes(parent: Path) -> None:
    name = f"raydp-wrap-test-{uuid.uuid4().hex}"
    (parent / name / "inner" / "innermost").mkdir(parents=True)
    processes = [subprocess.Popen(["/bin/sleep", "60"]) for _ in range(3)]
    for process, where in zip(processes, ("", "inner", "inner/innermost"), strict=True):
        (parent / name / where / "cgroup.procs").write_text(str(process.pid))
    assert cgroup.end(str(parent), name)
    assert [process.wait(20) for process in processes] == [-9] * 3
    assert not (parent / name).exists()
    assert cgroup.end(str(parent), name), "one that isn't there is ended"


def test_the_driver_and_its_tree_are_in_it_and_the_guard_is_not(parent: Path, tmp_path: Path) -> None:
    tree = Tree(tmp_path, "double-fork")
    ready = Ready()
    with Guard.start(Launch(argv=tree.argv), stdout=ready.write_end, containment="cgroup", sweep_grace=0.1) as guard:
        ready.wait()
        assert guard._cgroup is not None
        members = (parent / guard._cgroup[1] / "cgroup.procs").read_text().split()
        assert {str(pid) for pid, _ in tree.noted()} == set(members)
        assert str(guard.guard_pid) not in members
        guard.stop()
        assert guard.wait(30).cgroup
        assert not (parent / guard._cgroup[1]).exists()
    ready.close()


def test_one_that_died_inside_a_job_leaves_no_cgroup_behind(parent: Path) -> None:
    """A guarded job that runs a guarded job, ended from the outside."""
    script = (
        "import os, sys; from raydp_wrap.model import Launch; from raydp_wrap.process import Guard;"
        "g = Guard.start(Launch(argv=('/bin/sleep', '60')), containment='cgroup');"
        "print(os.path.join(*g._cgroup), flush=True); print('ready', flush=True); g.wait()"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    for end in ("stop", "kill"):
        ready = Ready()
        launch = Launch(argv=(sys.executable, "-c", script), env=env)
        with Guard.start(launch, stdout=ready.write_end, containment="cgroup", grace=0.0, sweep_grace=0.0) as guard:
            ready.wait()
            inner = Path(ready._seen.decode().splitlines()[0])
            assert guard._cgroup is not None
            assert inner.parent == parent / guard._cgroup[1]
            assert inner.exists()
            if end == "stop":
                guard.stop()
            else:
                kill_quietly(guard.guard_pid)
            assert guard.wait(30).tree_empty
            assert not (parent / guard._cgroup[1]).exists()
        ready.close()


def test_insisting_in_vain_is_refused(parent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(cgroup, "locate", lambda: (None, None))
        with pytest.raises(UsageError):
            Guard.start(Launch(argv=("/bin/true",)), containment="cgroup")
    before = set(os.listdir(parent))
    traced_guard(monkeypatch, tmp_path, "--inject=mkdirat:error=EACCES")
    tree = Tree(tmp_path, "setsid")
    with pytest.raises(UsageError):
        Guard.start(Launch(argv=tree.argv), containment="cgroup", sweep_grace=0.1)
    tree.assert_gone()
    ready = Ready()
    with Guard.start(Launch(argv=tree.argv), stdout=ready.write_end, containment="auto", grace=0.2) as guard:
        ready.wait()
        guard.stop()
        record = guard.wait(30)
    ready.close()
    assert not record.cgroup
    assert record.tree_empty
    until(lambda: not {n for n in set(os.listdir(parent)) - before if guard._cgroup and n == guard._cgroup[1]}, "none")


def test_a_cgroup_that_can_not_be_entered_is_done_without(
    parent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """clone3 refuses, as under Docker's seccomp: the child moves itself; the cgroup holds all the same."""
    traced_guard(monkeypatch, tmp_path, "--inject=clone3:error=ENOSYS")
    with Guard.start(Launch(argv=("/bin/sleep", "60")), containment="cgroup", grace=0.2) as guard:
        assert guard._cgroup is not None
        assert (parent / guard._cgroup[1] / "cgroup.procs").read_text().split() == [str(guard.pid)]
        guard.stop()
        record = guard.wait(30)
    assert record.cgroup
    assert record.tree_empty


def test_locate_is_not_spoilt_by_a_moment_without_descriptors() -> None:
    script = (
        "import os, resource; from raydp_wrap.process import cgroup;"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (3, 4096)); first = cgroup.locate();"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096)); print(first, cgroup.locate())"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"{(None, None)} {cgroup.locate()}"
