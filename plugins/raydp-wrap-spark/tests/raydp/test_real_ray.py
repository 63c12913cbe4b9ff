"""raydp-submit on a real Ray node: how an application ends, and what is left of it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import time

import pytest
from ray_head import command_of, left_after, tree
from raydp_installed import BIN, OURS, PROGRAMS, variables

SMALL = ["spark.ui.enabled=false", "spark.executor.instances=1", "spark.executor.cores=1", "spark.executor.memory=500m"]
CONFS = [word for conf in SMALL for word in ("--conf", conf)]
SECRET = "correct-horse"
# Of our tree, of its executors on the node: busy machines need more than is promised.
GONE_WITHIN, EXECUTORS_GONE_WITHIN = 10.0, 60.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def told(tmp_path):
    """Where the outcome is reported to; read it, as soon as it is there: a dead owner's is reported by another."""
    file = tmp_path / "outcome.json"

    def outcome():
        deadline = time.monotonic() + GONE_WITHIN
        while not file.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        return json.loads(file.read_text(encoding="utf-8"))

    return file, outcome


@pytest.fixture
def env(tmp_path):
    return variables(RAYDP_WRAP_HOME=str(tmp_path / "home"), RAY_DRIVER_NODE_IP="127.0.0.1", SPARK_LOCAL_IP="127.0.0.1")


def submit(head, file, *arguments):
    ours = ["--conf", f"spark.raydp.wrap.sinks=file:{file}", "--conf", f"spark.my.password={SECRET}"]
    return [OURS / "raydp-submit", "--ray-conf", head.conf, *CONFS, *ours, PROGRAMS / "on_ray.py", *arguments]


def run(command, env):
    return subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def said(stdout):
    """What the application said, between Spark's own lines."""
    (line,) = [line for line in stdout.splitlines() if line.startswith('{"argv"')]
    return json.loads(line)


@contextlib.contextmanager
def running(head, file, env):
    """An application that runs on the node: its process, and everybody of its tree and of its executors, by pid."""
    known = set(head.executors())
    command = submit(head, file, "forever")
    with contextlib.ExitStack() as stack:
        process = stack.enter_context(
            subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        )
        stack.callback(process.kill)
        for line in process.stdout:
            if line.startswith(b'{"argv"'):
                break
        else:
            pytest.fail("the application did not start")
        # Spark's lines go on: nobody may wait for us to read them.
        drain = stack.enter_context(subprocess.Popen(["cat"], stdin=process.stdout, stdout=subprocess.DEVNULL))
        process.stdout.close()
        stack.callback(drain.kill)
        watched = []
        for pids in (tree(process.pid), set(head.executors()) - known):
            watched.append({pid: os.pidfd_open(pid) for pid in pids})
            for fd in watched[-1].values():
                stack.callback(os.close, fd)
        mine, executors = watched
        assert any("SparkSubmit" in command_of(pid) for pid in mine)
        assert any(command_of(pid).split()[0].endswith("python3") for pid in mine)
        assert executors
        yield process, mine, executors


@pytest.mark.requirement("raydp-submit-run", "raydp-submit-arguments", "raydp-submit-output")
@pytest.mark.parametrize("how", ["stop", "leave"])
def test_an_application_that_finishes(head, env, told, how):
    """Whether it stops its SparkContext or leaves that to its end, which RayDP may take for a failure."""
    file, outcome = told
    arguments = [how, "0", "a", "--conf", "b", "c d", ""]
    done = run(submit(head, file, *arguments), env)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    told_us = said(done.stdout)
    assert (told_us["argv"], told_us["master"], told_us["sum"]) == (arguments, "ray", 4950)
    assert (outcome()["state"], outcome()["exit_code"]) == ("FINISHED", 0)
    # RayDP's AppMaster and its SparkContext have names of their own; the launcher is told the first.
    assert re.fullmatch(r"app-\d+", outcome()["app_id"])
    assert SECRET not in done.stdout + done.stderr


@pytest.mark.requirement("raydp-submit-run")
@pytest.mark.parametrize("how", ["stop", "leave"])
def test_the_exit_code_of_an_application_that_fails(head, env, told, how):
    file, outcome = told
    done = run(submit(head, file, how, "3"), env)
    assert done.returncode == 3, done.stdout[-3000:] + done.stderr[-3000:]
    assert (outcome()["state"], outcome()["exit_code"], outcome()["reason"]) == ("FAILED", 3, "AppFailed")


@pytest.mark.requirement("raydp-submit-kill", "raydp-submit-stop")
def test_sigterm_takes_everything_along(head, env, told):
    """RayDP's driver is asked first, by the launcher's protocol, and says that it stops."""
    file, outcome = told
    with running(head, file, env) as (process, mine, executors):
        process.send_signal(signal.SIGTERM)
        # 1 if the application failed of its SparkContext's end, before the signal came to it. By SIGKILL, if RayDP's
        # shutdown hook waits for an actor that is gone already (RayAppMasterUtils.stopAppMaster).
        assert process.wait(60) in (1, 128 + signal.SIGTERM, 128 + signal.SIGKILL)
        assert left_after(GONE_WITHIN, mine) == set()
        assert left_after(EXECUTORS_GONE_WITHIN, executors) == set()
    assert (outcome()["state"], outcome()["reason"]) == ("KILLED", "StopRequested")
    assert any("launcher was KILLED" in evidence["observation"] for evidence in outcome()["evidence"])


@pytest.mark.requirement("raydp-submit-kill")
def test_sigkill_takes_everything_along(head, env, told):
    file, outcome = told
    with running(head, file, env) as (process, mine, executors):
        process.kill()
        process.wait(60)
        assert left_after(GONE_WITHIN, mine) == set()
        assert left_after(EXECUTORS_GONE_WITHIN, executors) == set()
    assert (outcome()["state"], outcome()["reason"]) == ("KILLED", "OwnerDied")


@pytest.mark.requirement("raydp-submit-init-spark")
def test_init_spark_in_a_script(head, env, told):
    file, outcome = told
    known = set(head.executors())
    script = [BIN / "python", PROGRAMS / "init_spark.py", head.address, "5"]
    done = run([OURS / "raydp-wrap", "run", "--sink", f"file:{file}", "--", *script], env)
    assert done.returncode == 5, done.stdout[-3000:] + done.stderr[-3000:]
    assert "10" in done.stdout.splitlines()
    assert (outcome()["state"], outcome()["exit_code"]) == ("FAILED", 5)
    executors = {pid: os.pidfd_open(pid) for pid in set(head.executors()) - known}
    try:
        assert left_after(EXECUTORS_GONE_WITHIN, executors) == set()
    finally:
        for fd in executors.values():
            os.close(fd)
