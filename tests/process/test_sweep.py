"""Ending what a dead guard can no longer hold, by the mark it left in every environment."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
from crash.harness import strays, until

from raydp_wrap.process.sweep import MARK, sweep

pytestmark = [pytest.mark.usefixtures("strays"), pytest.mark.requirement("fault-2")]
__all__ = ["strays"]


def sleeper(identity: str | None) -> subprocess.Popen[bytes]:
    env = {**os.environ, **({MARK: identity} if identity else {})}
    process = subprocess.Popen(["/bin/sleep", "60"], env=env)
    # For a moment after exec the environment can't be read yet.
    until(Path(f"/proc/{process.pid}/environ").read_bytes, "its environment")
    return process


def test_only_the_marked_are_ended() -> None:
    identity = uuid.uuid4().hex
    marked = [sleeper(identity) for _ in range(5)]
    others = [sleeper(None), sleeper(identity + "0"), sleeper(identity[:-1]), sleeper("x" + identity)]
    try:
        assert sweep(identity) == (5, True)
        assert [process.wait(20) for process in marked] == [-9] * 5
        assert [process.poll() for process in others] == [None] * 4
    finally:
        for process in others:
            process.kill()
            process.wait()


def test_a_mark_elsewhere_than_in_the_variable_does_not_count() -> None:
    identity = uuid.uuid4().hex
    env = {"OTHER": f"{MARK}={identity}", "PATH": os.environ["PATH"]}
    with subprocess.Popen(["/bin/sleep", "60"], env=env) as process:
        assert sweep(identity) == (0, True)
        assert process.poll() is None
        process.kill()


def test_the_spared_and_the_sweeper_itself_live_on() -> None:
    identity = uuid.uuid4().hex
    spared, marked = sleeper(identity), sleeper(identity)
    assert sweep(identity, spare=(spared.pid,)) == (1, True)
    assert marked.wait(20) == -9
    assert spared.poll() is None
    assert sweep(identity) == (1, True)
    assert spared.wait(20) == -9
    script = f"from raydp_wrap.process.sweep import sweep; print(sweep({identity!r}))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, MARK: identity, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "(0, True)\n"


def test_what_can_not_be_ended_ends_the_sweep_in_time() -> None:
    """A process that is stopped dies of SIGKILL all the same; one that forks for ever is bounded by the time."""
    identity = uuid.uuid4().hex
    script = "while :; do (sleep 5 &) ; sleep 0.001; done"
    env = {**os.environ, MARK: identity}
    with subprocess.Popen(["/bin/sh", "-c", script], env=env) as process:
        # For a moment after exec the environment can't be read yet.
        until(lambda: identity.encode() in Path(f"/proc/{process.pid}/environ").read_bytes(), "its environment")
        began = time.monotonic()
        ended, clean = sweep(identity, timeout=5)
        assert time.monotonic() - began < 30
        assert ended > 0
        if not clean:
            process.kill()
    until(lambda: sweep(identity)[0] == 0, "all are gone")
