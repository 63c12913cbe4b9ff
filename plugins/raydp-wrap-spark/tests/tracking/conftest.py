from __future__ import annotations

import contextlib
import ctypes
import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

HERE = Path(__file__).parent
WITHIN = 60.0
_SUBREAPER = 36

# The guard and the delivery of a script that died come back to this process, to be waited for.
ctypes.CDLL(None, use_errno=True).prctl(_SUBREAPER, 1, 0, 0, 0)


class Told:
    """What the sink was told, a line for each time."""

    def __init__(self, path):
        self.path = path
        self.sink = f"exec:sh -c 'cat >> {path}; echo >> {path}'"

    def all(self):
        text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        return [json.loads(line) for line in text.splitlines() if line.strip()]

    def one(self, timeout=WITHIN):
        until(self.all, "it is told", timeout)
        (outcome,) = self.all()
        return outcome


def until(true, what, timeout=WITHIN):
    deadline = time.monotonic() + timeout
    while not (found := true()):
        assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
        time.sleep(0.005)
    return found


@pytest.fixture
def told(tmp_path):
    return Told(tmp_path / "told")


@pytest.fixture
def environment(tmp_path):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SPARK_", "PYSPARK_", "RAYDP_"))}
    return {
        **kept,
        "PATH": f"{Path(sys.executable).parent}:{kept['PATH']}",
        "PYTHONPATH": f"{HERE / 'programs'}",
        "RAYDP_WRAP_HOME": str(tmp_path / "home"),
        "SPARK_LOCAL_IP": "127.0.0.1",
    }


@pytest.fixture
def script(tmp_path, environment, told):
    """Run a script, in which SINK is what :func:`told` reads; what became of it."""

    def run(text, *, check=None, **more):
        path = tmp_path / "script.py"
        path.write_text(f"SINK = {told.sink!r}\n{textwrap.dedent(text)}", encoding="utf-8")
        done = subprocess.run(
            [sys.executable, path],
            env={**environment, **more},
            capture_output=True,
            text=True,
            check=False,
            timeout=WITHIN * 2,
            start_new_session=True,
        )
        assert check is None or done.returncode == check, done.stderr[-3000:]
        return done

    return run


@pytest.fixture(autouse=True)
def nothing_left():
    """Guards and deliveries whose owner died come to this process, and end by themselves."""
    # Those of other suites (a cluster that they share) are theirs.
    before = {child.pid for child in psutil.Process().children()}
    yield
    deadline = time.monotonic() + WITHIN
    while new := {child.pid for child in psutil.Process().children()} - before:
        for pid in new:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        assert time.monotonic() < deadline, "processes are left"
        time.sleep(0.005)
