"""Dead only where it is proven."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
from crash.harness import need, until

from raydp_wrap.process import identity
from raydp_wrap.process.identity import ProcessIdentity

ME = ProcessIdentity.of_this_process()


def of(pid: int) -> ProcessIdentity:
    """PID's identity, as another process of this namespace sees it."""
    return replace(ME, pid=pid, started=int(identity._stat(str(pid))[1][19]))


@pytest.mark.requirement("store-2.3")
def test_this_process_lives() -> None:
    assert ME.pid == os.getpid()
    assert ME.started > 0
    assert not ME.is_dead()
    assert ProcessIdentity.of_this_process() == ME
    assert ProcessIdentity.from_dict(ME.to_dict()) == ME


@pytest.mark.requirement("store-2.3")
def test_a_child_lives_is_a_zombie_and_is_gone() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        it = of(child.pid)
        assert not it.is_dead()
        child.kill()
        until(it.is_dead, "a zombie is dead")
    assert it.is_dead()


@pytest.mark.requirement("store-2.3", "fault-24")
def test_what_proves_it() -> None:
    assert replace(ME, started=ME.started + 1).is_dead(), "its pid is another's by now"
    assert replace(ME, boot_id="another").is_dead(), "the machine was rebooted"
    assert replace(ME, boot_id="another", pid_namespace=1, started=0).is_dead()


@pytest.mark.requirement("store-2.3")
@pytest.mark.parametrize(
    "unknown",
    [
        replace(ME, pid=4_194_305, pid_namespace=1),
        replace(ME, started=0),
        replace(ME, boot_id=""),
        replace(ME, pid_namespace=0),
        replace(ME, started=ME.started + 1, time_namespace=1),
        ProcessIdentity.from_dict({}),
    ],
)
def test_what_proves_nothing(unknown: ProcessIdentity) -> None:
    assert not unknown.is_dead()


@pytest.mark.requirement("store-2.3")
def test_a_leader_that_has_left_its_threads_behind_lives() -> None:
    program = (
        "import ctypes, sys, threading, time\n"
        "threading.Thread(target=sys.stdin.read).start()\n"
        "print(flush=True); ctypes.CDLL(None).pthread_exit(None)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as child:
        assert child.stdout
        child.stdout.readline()
        it = of(child.pid)
        until(lambda: identity._stat(str(child.pid))[1][0] == "Z", "its leader is gone")
        assert not it.is_dead()
        child.kill()


@pytest.mark.requirement("store-2.3")
def test_without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "_stat", lambda _: (_ for _ in ()).throw(FileNotFoundError()))
    monkeypatch.setattr(identity, "_boot_id", lambda: "")
    unknown = ProcessIdentity.of_this_process()
    assert (unknown.pid, unknown.started) == (os.getpid(), 0)
    assert not unknown.is_dead()
    assert not ME.is_dead()


@pytest.mark.requirement("store-2.3")
def test_another_pid_namespace_proves_nothing() -> None:
    program = (
        "from raydp_wrap.process.identity import ProcessIdentity; import json\n"
        "print(json.dumps(ProcessIdentity.of_this_process().to_dict()))"
    )
    done = subprocess.run(
        ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        capture_output=True,
        text=True,
        check=False,
    )
    need(done.returncode == 0, f"no pid namespace can be made: {done.stderr}")

    there = ProcessIdentity.from_dict(json.loads(done.stdout))
    assert there.pid == 1
    assert there.boot_id == ME.boot_id
    assert not there.is_dead()
