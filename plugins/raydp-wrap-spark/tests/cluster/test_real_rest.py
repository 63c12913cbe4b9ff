"""A real master with a REST gateway, and a worker: drivers that are submitted through the gateway."""

from __future__ import annotations

import importlib.util
import re
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from raydp_wrap.model import Cause, ExitRecord, Submission, TerminalState, Usage
from raydp_wrap.process import Process

from raydp_wrap_spark.cluster.judging import evidence, stop_remote
from raydp_wrap_spark.cluster.watch import cluster_watch
from raydp_wrap_spark.submit import spark_submit

REST = True
_TIME = re.compile(r"^\d\d/\d\d/\d\d \d\d:\d\d:\d\d", re.MULTILINE)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not importlib.util.find_spec("pyspark"), reason="needs pyspark in this environment"),
    pytest.mark.skipif(not shutil.which("javac"), reason="needs a JDK"),
]


@pytest.mark.requirement("cluster-standalone-state")
def test_a_driver_that_could_not_be_started_is_no_success(submit):
    done = submit.run("exit", "0", jar="file:/no/such.jar")
    assert done.returncode == 1, done.stderr  # where stock spark-submit exits with 0
    assert submit.outcome["state"] == "FAILED"
    observation = submit.cluster_evidence["observation"]
    assert observation.startswith("ERROR on the cluster: Exception from the cluster: java.nio.file.NoSuchFileException")


@pytest.mark.requirement("cluster-left-behind")
def test_the_gateway_waits_for_no_driver(submit):
    done = submit.run("exit", "3", confs=["spark.standalone.submit.waitAppCompletion=true"])
    assert done.returncode == 0, done.stderr
    assert submit.cluster_evidence["observation"].endswith("though the submitter was to wait for it")


@pytest.mark.requirement("cluster-stop")
def test_a_stop_reaches_a_driver_whose_submitter_has_gone(cluster, submit, tmp_path):
    said = tmp_path / "pid"
    launch = spark_submit([str(word) for word in submit.command("forever", str(said))[2:]], submit.env)
    submission = Submission("s", "n", time.time())
    watch = cluster_watch(submission, launch)
    try:
        with Process(watch.launch.argv, env=watch.launch.env, stderr=watch.launch.stderr) as submitter:
            watch.started(submitter.pid)
            while not (learnt := list(watch.notices())):
                assert select.select([watch.fileno()], [], [], 90)[0]
            driver = learnt[0].app_id
            assert submitter.wait(90) == 0
        list(watch.ended())
        saved = watch.save()
        cluster.wait_for(driver, "RUNNING")
        record = ExitRecord("i", 1, 2, submitter.exit, Cause.REQUEST, None, 1.0, 2.0, 1.0, Usage(), tree_empty=True)
        stop_remote(submission, record, saved)
    finally:
        watch.close()
    assert cluster.state(driver) == "KILLED"
    [piece] = evidence(submission, record, saved)
    assert piece.state is TerminalState.KILLED
    assert not said.exists() or not Path(f"/proc/{said.read_text()}").exists()


@pytest.mark.requirement("cluster-watch")
def test_questions_about_a_driver_are_no_runs(cluster, submit):
    known = cluster.asked()["completeddrivers"]
    assert known, "the tests above have left one"
    for words in (["--status", known[0]["id"]], ["--kill", known[0]["id"]], ["--status", "driver-0"]):
        options = ["--master", f"spark://{cluster.rest}", *words]
        seen = []
        for command in ([Path(sys.executable).parent / "spark-submit"], submit.command()[:2]):
            done = subprocess.run([*command, *options], env=submit.env, capture_output=True, text=True, check=False)
            seen.append((done.returncode, done.stdout, _TIME.sub("", done.stderr)))
        assert seen[0] == seen[1]
        assert "standalone master" not in (submit.directory / "told.json").read_text(encoding="utf-8")
