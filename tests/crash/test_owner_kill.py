"""The owner SIGKILLed at every system call and at any moment of a start and a stop."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from crash.harness import PROGRAMS, Tree, my_children, need_strace, reap_strays, strays, until
from crash.traced import whole

from raydp_wrap.model import Cause
from raydp_wrap.process import record as records

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("strays")
__all__ = ["strays"]

ENV = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}


def command(tree: Tree, record: Path) -> list[str]:
    """A start and a stop, in one go."""
    plan = {
        "argv": tree.argv,
        "start": {"identity": tree.marker, "record": str(record), "grace": 0.05, "sweep_grace": 0.05},
        "then": ["stop", "wait", "close", "_exit"],
    }
    return [sys.executable, str(PROGRAMS / "guard_owner.py"), json.dumps(plan)]


def judge(tree: Tree, record: Path) -> str:
    """After the owner's death: nothing lives, and what is on the disk is true."""
    tree.assert_gone()
    noted = tree.noted()
    found = records.read(record)
    if not noted and found is None:
        return "nothing started"
    # The driver may have been ended before it could note itself; a record is there whenever one has run.
    assert found is not None, "a driver ran, and nothing says how it ended"
    assert found.identity == tree.marker
    assert found.cause in (Cause.OWNER_DIED, Cause.REQUEST)
    assert found.driver is not None
    assert found.driver.returncode in (-9, -15)
    assert found.tree_empty
    assert not noted or noted[0][0] == found.driver_pid
    return found.cause.name


def sites(folder: Path) -> list[tuple[str, int]]:
    """(call, Nth) of the owner's own start and stop: what an idle interpreter does before is left out."""
    log = folder / "owner.trace"
    tree = Tree(folder, "setsid")
    traced = [need_strace(), "-q", "-o", str(log), *command(tree, folder / "record")]
    subprocess.run(traced, env=ENV, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=60, check=False)
    found: list[tuple[str, int]] = []
    seen: Counter[str] = Counter()
    begun = False
    for line in whole(log).splitlines():
        match = re.match(r"(\w+)\(", line)
        if not match:
            continue
        seen[match[1]] += 1
        begun = begun or "/dev/null" in line or "socketpair(" in line
        if begun and match[1] not in ("execve", "exit_group"):
            found.append((match[1], seen[match[1]]))
        if line.startswith("write(") and "closed" in line:
            break
    tree.assert_gone()
    assert {"socketpair", "sendto"} <= {call for call, _ in found}, "the whole of a start and a stop was seen"
    return found


def kill_at(folder: Path, call: str, n: int) -> str:
    tree = Tree(folder, "setsid")
    record = folder / f"{tree.marker}.record"
    before = my_children()
    traced = [need_strace(), "-q", "-o", os.devnull, f"--inject={call}:signal=KILL:when={n}", *command(tree, record)]
    subprocess.run(traced, env=ENV, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=60, check=False)
    try:
        until(lambda: not tree.alive(), f"nothing lives after {call} {n}")
        return judge(tree, record)
    finally:
        reap_strays(before)


def kill_at_all(wanted: list[tuple[str, int]], folder: Path) -> Counter[str]:
    outcomes: Counter[str] = Counter()
    failed = []
    for call, n in wanted:
        try:
            outcomes[kill_at(folder, call, n)] += 1
        except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - the rest is tried as well
            failed.append(f"{call} {n}: {error}")
    print(dict(outcomes))
    assert not failed, f"{len(failed)} of {len(wanted)}"
    return outcomes


@pytest.mark.requirement("owner-kill", "fault-1")
def test_sample_of_calls(tmp_path: Path) -> None:
    found = sites(tmp_path)
    seed = random.randrange(2**32)
    print(f"seed {seed}, {len(found)} calls in all")
    kill_at_all(random.Random(seed).sample(found, min(25, len(found))), tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(200)
@pytest.mark.requirement("owner-kill", "fault-1")
def test_every_call(tmp_path: Path) -> None:
    outcomes = kill_at_all(sites(tmp_path), tmp_path)
    assert outcomes["nothing started"] > 0
    assert outcomes["OWNER_DIED"] > 0


def kill_at_random(times: int, folder: Path) -> Counter[str]:
    """Owners that loop over starts and stops, each killed once, between its first word and 12 ms later."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    outcomes: Counter[str] = Counter()
    for _ in range(times):
        tree = Tree(folder, "setsid")
        record = folder / f"{tree.marker}.record"
        before = my_children()
        plan = json.loads(command(tree, record)[-1])
        plan["before"] = True
        with subprocess.Popen(
            [sys.executable, str(PROGRAMS / "guard_owner.py"), json.dumps(plan)],
            env=ENV,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as owner:
            assert owner.stdin
            assert owner.stdout
            assert owner.stdout.readline()
            at = time.monotonic() + rng.random() * 0.012
            owner.stdin.write(b"\n" * 8)
            owner.stdin.flush()
            while time.monotonic() < at:
                pass
            owner.kill()
            owner.stdout.read()
        outcomes[judge(tree, record)] += 1
        reap_strays(before)
    print(dict(outcomes))
    return outcomes


@pytest.mark.requirement("owner-kill", "fault-1")
def test_random_moments(tmp_path: Path) -> None:
    assert len(kill_at_random(40, tmp_path)) > 1


@pytest.mark.slow
@pytest.mark.timeout(200)
@pytest.mark.requirement("owner-kill", "fault-1")
def test_500_random_moments(tmp_path: Path) -> None:
    outcomes = kill_at_random(500, tmp_path)
    assert len(outcomes) == 3, f"the moments lie before, in and after the run: {outcomes}"
