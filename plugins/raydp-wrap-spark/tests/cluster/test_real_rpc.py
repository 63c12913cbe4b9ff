"""A real master without a REST gateway, and a worker: drivers that are submitted through the master's own port.

The master wants authentication; its secret is in spark-defaults.conf only.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from raydp_wrap_spark.cluster.clock import Deadline
from raydp_wrap_spark.cluster.place import Place
from raydp_wrap_spark.cluster.standalone import Standalone

REST = False
WAITS = "spark.standalone.submit.waitAppCompletion=true"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not importlib.util.find_spec("pyspark"), reason="needs pyspark in this environment"),
    pytest.mark.skipif(not shutil.which("javac"), reason="needs a JDK"),
]

QUIET = """\
rootLogger.level = info
rootLogger.appenderRef.stdout.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.target = SYSTEM_ERR
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %m%n
logger.deploy.name = org.apache.spark.deploy
logger.deploy.level = error
"""


def is_gone(pid):
    return not Path(f"/proc/{pid}").exists()


def client(cluster):
    env = {name: cluster.env[name] for name in ("SPARK_LOCAL_IP", "SPARK_CONF_DIR")}
    return {"class_path": f"{cluster.env['SPARK_HOME']}/jars/*", "env": env}


@pytest.mark.requirement("cluster-standalone-state")
def test_a_driver_that_fails_is_no_success(submit):
    done = submit.run("exit", "3", confs=[WAITS])
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert "is FAILED, exiting spark-submit JVM." in done.stderr  # where the submitter exits with 0
    outcome = submit.outcome
    assert (outcome["state"], outcome["exit_code"], outcome["reason"]) == ("FAILED", 1, "AppFailed")
    assert outcome["diagnostics"].startswith("FAILED on the cluster; the driver exited with 0")
    assert submit.cluster_evidence["state"] == "FAILED"
    assert outcome["app_id"].startswith("driver-")


@pytest.mark.requirement("cluster-standalone-state")
def test_a_driver_that_could_not_be_started_is_no_success(submit):
    done = submit.run("exit", "0", jar="file:/no/such.jar")
    assert done.returncode == 255, done.stderr  # the submitter's own; by REST it would be 0
    assert (submit.outcome["state"], submit.cluster_evidence["observation"]) == ("FAILED", "ERROR on the cluster")


@pytest.mark.requirement("cluster-standalone-state")
def test_a_driver_that_somebody_kills_is_killed(cluster, submit):
    with submit.running(confs=[WAITS]) as (wrapper, driver, pid):
        place = Place([cluster.master], ui=cluster.ui, client=client(cluster))
        assert Standalone(place).end(driver, Deadline(60)).word == "KILLED"
        assert wrapper.wait(60) == 143
    assert is_gone(pid)
    assert (submit.outcome["state"], submit.outcome["exit_code"]) == ("KILLED", 143)
    # Who comes too late is told how it ended.
    assert Standalone(place).end(driver, Deadline(60)).word == "KILLED"


@pytest.mark.requirement("cluster-left-behind")
def test_a_driver_that_nobody_waits_for_is_left_behind(cluster, submit):
    done = submit.run("forever", str(submit.directory / "pid"))
    outcome = submit.outcome
    assert (done.returncode, outcome["state"], outcome["diagnostics"]) == (0, "FINISHED", ""), done.stderr
    text = f"{outcome['app_id']} was left behind as RUNNING; nobody has waited for its end"
    assert submit.cluster_evidence["observation"] == text
    assert cluster.state(outcome["app_id"]) == "RUNNING"


@pytest.mark.requirement("cluster-stop")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
def test_a_stop_kills_the_driver_too(cluster, submit, number):
    """With SIGKILL nobody of us is left but the guard, and the submitter has gone before the driver."""
    with submit.running(confs=[WAITS]) as (wrapper, driver, pid):
        os.kill(wrapper.pid, number)
        assert wrapper.wait(60) == (143 if number == signal.SIGTERM else -number)
        cluster.wait_for(driver, "KILLED")
        assert is_gone(pid)
    submit.wait_for_outcome()
    assert submit.outcome["state"] == "KILLED"
    assert submit.cluster_evidence["observation"] == "KILLED on the cluster"


@pytest.mark.requirement("cluster-confs")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
def test_a_stop_of_who_has_the_secret_from_the_command_line(cluster, submit, tmp_path, number):
    """With SIGKILL the only process that had it is gone: the driver runs on, and that is said."""
    (tmp_path / "spark-defaults.conf").write_text("spark.ui.enabled false\n")
    submit.env["SPARK_CONF_DIR"] = str(tmp_path)
    submit.env["RAYDP_WRAP_CLUSTER_TIMEOUT"] = "25s"
    confs = [WAITS, *(line.replace(" ", "=") for line in cluster.defaults.splitlines())]
    with submit.running(confs=confs) as (wrapper, driver, pid):
        os.kill(wrapper.pid, number)
        assert wrapper.wait(60) == (143 if number == signal.SIGTERM else -number)
        submit.wait_for_outcome()
        if number == signal.SIGTERM:
            cluster.wait_for(driver, "KILLED")
            assert is_gone(pid)
            assert submit.cluster_evidence["observation"] == "KILLED on the cluster"
        else:
            assert cluster.state(driver) == "RUNNING"
            said = submit.cluster_evidence["observation"]
            assert said.endswith("; gone with the process that had it from its command line: spark.authenticate.secret")
            place = Place([cluster.master], ui=cluster.ui, client=client(cluster))
            assert Standalone(place).end(driver, Deadline(60)).word == "KILLED"


@pytest.mark.requirement("cluster-unknown")
def test_a_submitter_that_names_no_driver(cluster, submit, tmp_path):
    (tmp_path / "spark-defaults.conf").write_text(cluster.defaults)
    (tmp_path / "log4j2.properties").write_text(QUIET)
    submit.env["SPARK_CONF_DIR"] = str(tmp_path)
    done = submit.run("exit", "3", confs=["spark.master.rest.enabled=true"])  # which falls back
    assert (done.returncode, submit.outcome["state"]) == (0, "FINISHED"), done.stderr
    text = "the submitter has named no driver: nobody knows whether one runs"
    assert submit.cluster_evidence["observation"] == text


@pytest.mark.requirement("cluster-client-mode")
def test_in_client_mode_the_master_calls_everything_finished(cluster, submit, tmp_path):
    """So it isn't asked: the driver ran here, and its own end is the truth."""
    program = tmp_path / "app.py"
    program.write_text(
        "from pyspark.sql import SparkSession\nSparkSession.builder.getOrCreate()\nraise SystemExit(3)\n"
    )
    confs = ["spark.ui.enabled=false", "spark.executor.memory=512m", "spark.cores.max=1"]
    options = [word for conf in confs for word in ("--conf", conf)]
    command = [submit.command()[0], "spark-submit", "--master", f"spark://{cluster.master}", *options, program]
    done = subprocess.run(command, env=submit.env, capture_output=True, text=True, check=False)
    assert (done.returncode, submit.outcome["state"]) == (3, "FAILED"), done.stderr
    [app] = [one for one in cluster.asked()["completedapps"] if one["id"] == submit.outcome["app_id"]]
    assert app["state"] == "FINISHED"
