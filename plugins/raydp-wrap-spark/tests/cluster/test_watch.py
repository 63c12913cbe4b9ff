from __future__ import annotations

import json
import os
import select
from dataclasses import replace

import pytest
from raydp_wrap.errors import UsageError
from raydp_wrap.model import Launch, Submission
from raydp_wrap.watch import Notice

from raydp_wrap_spark.cluster.master_confs import take
from raydp_wrap_spark.cluster.watch import KIND, cluster_watch
from raydp_wrap_spark.names import MAIN_CLASS

SUBMISSION = Submission("s", "n", 0.0)
CLUSTER = ["--master", "spark://a:7077,b:7078", "--deploy-mode", "cluster"]
APP = ["--class", "Main", "app.jar", "--deploy-mode", "client"]


def launch(*words, env=None, settings=None):
    argv = ("/a/java", "-cp", "c:jars/*", "-Xmx1g", MAIN_CLASS, *words)
    return Launch(argv, env={} if env is None else env, settings=settings or {})


@pytest.fixture
def watched():
    """Make a watch whose submitter's stderr ends in a pipe that the test reads."""
    read, write = os.pipe()
    made = []

    def make(*words, **more):
        made.append(cluster_watch(SUBMISSION, replace(launch(*words, **more), stderr=write)))
        return made[-1], read

    yield make
    for watch in made:
        watch.close()
    os.close(read)
    os.close(write)


def conf_dir(path, text):
    (path / "spark-defaults.conf").write_text(text)
    return {"SPARK_CONF_DIR": str(path)}


@pytest.mark.requirement("cluster-watch")
@pytest.mark.parametrize(
    ("words", "defaults", "is_one"),
    [
        ([*CLUSTER, *APP], "", True),
        (["--conf", "spark.submit.deployMode=cluster", "--master", "spark://a:1", *APP], "", True),
        (APP, "spark.master spark://a:1\nspark.submit.deployMode cluster\n", True),
        (["--master", "local", *APP], "spark.master spark://a:1\nspark.submit.deployMode cluster\n", False),
        (["--deploy-mode", "client", *APP], "spark.master spark://a:1\nspark.submit.deployMode cluster\n", False),
        (["--master", "spark://a:1", *APP], "", False),
        (["--master", "yarn", "--deploy-mode", "cluster", *APP], "", False),
        (["--master", "k8s://https://a", "--deploy-mode", "cluster", *APP], "", False),
        ([*CLUSTER, "--status", "driver-1"], "", False),
        ([*CLUSTER, "--kill", "driver-1"], "", False),
        ([*CLUSTER, "--version"], "", False),
        (CLUSTER, "", False),
    ],
)
def test_what_is_watched(tmp_path, words, defaults, is_one):
    watch = cluster_watch(SUBMISSION, launch(*words, env=conf_dir(tmp_path, defaults)))
    assert (watch is not None) == is_one
    if watch:
        watch.close()


def test_another_program_is_not_watched():
    assert cluster_watch(SUBMISSION, Launch(("sleep", "1"))) is None


@pytest.mark.requirement("cluster-watch")
def test_from_start_to_end(watched):
    watch, read = watched(*CLUSTER, *APP, env={"SPARK_HOME": "/s", "SECRET": "x", "HADOOP_CONF_DIR": "/h"})
    assert watch.launch.argv == launch(*CLUSTER, *APP).argv
    assert not select.select([watch.fileno()], [], [], 0)[0]
    assert watch.save()["driver"] is None
    driver = os.dup(watch.launch.stderr)
    watch.started(1)
    assert select.select([watch.fileno()], [], [], 0)[0]  # what is known already is to be saved
    assert watch.notices() == []
    os.write(driver, b"INFO X: Driver successfully submitted as driver-7-0\n")
    assert select.select([watch.fileno()], [], [], 30)[0]
    assert watch.notices() == [Notice(app_id="driver-7-0")]
    assert watch.notices() == []
    os.write(driver, b"INFO X: State of driver-7-0 is RUNNING\n")
    assert select.select([watch.fileno()], [], [], 30)[0]
    assert watch.notices() == [Notice(app_id="driver-7-0", running=True)]
    os.write(driver, b"State of driver driver-7-0 is FAILED, exiting")  # no end of line
    os.close(driver)
    assert watch.ended() == [Notice(app_id="driver-7-0")]
    assert os.read(read, 1000).count(b"driver-7-0") == 3
    saved = watch.save()
    assert (
        json.loads(json.dumps(saved))
        == saved
        == {
            "kind": KIND,
            "timeout": 15.0,
            "waits": False,
            "driver": "driver-7-0",
            "state": "FAILED",
            "place": {
                "masters": ["a:7077", "b:7078"],
                "uis": ["a:8080", "b:8080"],
                "ui": "",
                "rest": False,
                "client": {
                    "java": "/a/java",
                    "class_path": "c:jars/*",
                    "properties": [],
                    "env": {"SPARK_HOME": "/s", "HADOOP_CONF_DIR": "/h"},
                    "confs": {},
                    "withheld": [],
                },
            },
        }
    )


@pytest.mark.requirement("cluster-secrets")
def test_no_secret_is_kept(watched, tmp_path):
    env = conf_dir(tmp_path, "spark.authenticate.secret hidden\n")
    watch, _ = watched("--conf", "spark.authenticate.secret=hidden", *CLUSTER, *APP, env={**env, "A_TOKEN": "hidden"})
    assert "hidden" not in json.dumps(watch.save())
    take(SUBMISSION.submission_id)


@pytest.mark.requirement("cluster-secrets", "cluster-confs")
def test_of_the_command_lines_confs_the_needed_are_kept(watched):
    confs = {
        "spark.authenticate": "true",
        "spark.authenticate.secret": "hidden",
        "spark.network.crypto.enabled": "true",
        "spark.rpc.askTimeout": "hidden-token",
        "spark.ssl.keyStorePassword": "hidden",
        "spark.ssl.keyStore": "/k",
        "spark.authenticated": "no",
        "spark.other": "o",
    }
    words = [word for conf in confs.items() for word in ("--conf", "=".join(conf))]
    watch, _ = watched(*words, *CLUSTER, *APP)
    saved = json.dumps(watch.save())
    client = json.loads(saved)["place"]["client"]
    assert "hidden" not in saved
    assert client["confs"] == {
        "spark.authenticate": "true",
        "spark.network.crypto.enabled": "true",
        "spark.ssl.keyStore": "/k",
    }
    secrets = take(SUBMISSION.submission_id)
    assert set(secrets.values()) == {"hidden", "hidden-token"}
    assert sorted(secrets) == client["withheld"]
    assert take(SUBMISSION.submission_id) == {}


def test_what_else_decides(watched, tmp_path):
    words = ["--conf", "spark.standalone.submit.waitAppCompletion=true", "--properties-file", "p", *CLUSTER, *APP]
    env = {"SPARK_CONF_DIR": str(tmp_path), "SPARK_MASTER_WEBUI_PORT": "99", "RAYDP_WRAP_CLUSTER_TIMEOUT": "1h"}
    watch, _ = watched(*words, env=env, settings={"cluster.ui": "http://ui:1/"})
    saved = watch.save()
    assert (saved["waits"], saved["timeout"]) == (True, 25.0)
    assert (saved["place"]["uis"], saved["place"]["ui"]) == (["a:99", "b:99"], "http://ui:1")
    assert saved["place"]["client"]["properties"] == ["--properties-file", os.path.abspath("p")]


def test_the_rest_gateway_is_recognised(watched):
    watch, _ = watched(*CLUSTER, *APP)
    os.write(watch.launch.stderr, b"Submission successfully created as driver-7-0. Polling submission state...\n")
    watch.started(1)
    watch.ended()
    assert watch.save()["place"]["rest"] is True


def test_one_that_never_started(watched):
    watched(*CLUSTER, *APP)  # closed by the fixture, without a start


def test_a_timeout_that_is_none():
    with pytest.raises(UsageError, match="RAYDP_WRAP_CLUSTER_TIMEOUT: 'soon' is not a duration"):
        cluster_watch(SUBMISSION, launch(*CLUSTER, *APP, env={"RAYDP_WRAP_CLUSTER_TIMEOUT": "soon"}))
