"""Applications on YARN whose driver does not call us: with a program in a submitter's place, and in YARN's."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from raydp_wrap.model import Launch, Submission
from raydp_wrap.watch import Notice

from raydp_wrap_spark.launcher_protocol.watch import LauncherWatch
from raydp_wrap_spark.names import MAIN_CLASS
from raydp_wrap_spark.watching import watch

SUBMISSION = Submission("s", "n", 0.0)
APP = "application_1700000000000_0042"
YARN_APP = f"/ws/v1/cluster/apps/{APP}"
YARN = ("--master", "yarn")
CLUSTER, CLIENT = (*YARN, "--deploy-mode", "cluster"), YARN
ANOTHERS = {"_SPARK_LAUNCHER_PORT": "1", "_SPARK_LAUNCHER_SECRET": "x"}
WITHIN = 60.0

pytestmark = pytest.mark.requirement("cluster-yarn-unheard")


def launch(*words, env=None, **more):
    return Launch(("java", MAIN_CLASS, *words, "app.jar"), env={**ANOTHERS, **(env or {})}, **more)


@contextlib.contextmanager
def watching(given):
    made = watch(SUBMISSION, given)
    try:
        yield made
    finally:
        if made is not None:
            made.close()


@pytest.mark.parametrize("env", [ANOTHERS, {"RAYDP_WRAP_LAUNCHER": "off"}], ids=["another launcher's", "off"])
@pytest.mark.parametrize("words", [CLUSTER, CLIENT])
def test_the_cluster_is_saved_from_the_start(env, words):
    given = Launch(("java", MAIN_CLASS, *words, "app.jar"), env=env)
    with watching(given) as made:
        made.started(1)
        assert select.select([made.fileno()], [], [], 0)[0]
        assert list(made.notices()) == []
        assert not select.select([made.fileno()], [], [], 0)[0]
        saved = made.save()
        assert json.loads(json.dumps(saved)) == saved
        assert (saved["kind"], saved["app_id"], saved["cluster"]["manager"]) == ("yarn", None, "yarn")
        assert "off" in env.values() or "x" not in json.dumps(saved["cluster"]["rm"])


@pytest.mark.parametrize(
    "words", [("--master", "local"), ("--master", "spark://a:1"), (*CLUSTER, "--status", APP), (*CLUSTER, "--version")]
)
def test_who_has_no_yarn_to_ask(words):
    with watching(launch(*words)) as made:
        assert made is None


def test_who_can_be_heard_is():
    with watching(Launch(("java", MAIN_CLASS, *CLUSTER, "app.jar"), env={})) as made:
        assert isinstance(made, LauncherWatch)
        assert made.cluster["mode"] == "cluster"


@pytest.mark.parametrize("stderr", [None, 2])
def test_a_drivers_stderr_is_left_alone(stderr):
    given = launch(*CLIENT, stderr=stderr)
    with watching(given) as made:
        assert made.launch is given
        assert list(made.ended()) == []


def test_the_id_is_learnt_from_a_submitter():
    read, write = os.pipe()
    with watching(replace(launch(*CLUSTER), stderr=write)) as made:
        submitter = os.dup(made.launch.stderr)
        made.started(1)
        assert made.notices() == []
        os.write(submitter, f"INFO YarnClientImpl: Submitted application {APP}\n".encode())
        assert select.select([made.fileno()], [], [], WITHIN)[0]
        assert made.notices() == [Notice(app_id=APP)]
        assert made.save()["app_id"] == APP
        os.write(submitter, f"INFO Client: Application report for {APP} (state: RUNNING)".encode())
        os.close(submitter)
        assert made.ended() == [Notice(app_id=APP, running=True)]
    assert os.read(read, 1000).count(APP.encode()) == 2
    os.close(read)
    os.close(write)


# The first time it is Spark's launcher, which says what to run: itself, the second time as the submitter.
JAVA = """#!/bin/sh
if [ -z "$SECOND" ]; then printf '\\0\\n'; printf '%s\\0' env SECOND=1 "$0" "$@"; exit 0; fi
readlink /proc/self/fd/2 >"$WHERE"
[ -z "$SAYS" ] || echo "$SAYS" >&2
[ -z "$STAYS" ] || exec sleep 600
"""


class Wrapped:
    """``raydp-wrap spark-submit`` to a YARN that is a stand-in, with a submitter that is one."""

    def __init__(self, directory, env, server):
        self.where, self.home, self._told = directory / "where", directory / "home", directory / "told.json"
        self._server = server
        self.env = {
            **env,
            "RAYDP_WRAP_HOME": str(self.home),
            "RAYDP_WRAP_SINKS": f"file:{self._told}",
            "RAYDP_WRAP_LAUNCHER": "off",
            "WHERE": str(self.where),
            "SAYS": f"INFO YarnClientImpl: Submitted application {APP}",
        }

    def start(self, *words, **env):
        address = f"spark.hadoop.yarn.resourcemanager.webapp.address={self._server.address}"
        command = [sys.executable, "-m", "raydp_wrap", "spark-submit", *words, "--conf", address, "app.jar"]
        return subprocess.Popen(
            command, env={**self.env, **env}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )

    @property
    def outcome(self):
        until = time.monotonic() + WITHIN
        while not self._told.exists():
            assert time.monotonic() < until, "nobody has told how it ended"
            time.sleep(0.02)
        return json.loads(self._told.read_text(encoding="utf-8"))

    def wait_until_it_runs(self):
        until = time.monotonic() + WITHIN
        while not (self.where.exists() and self.where.read_text()):
            assert time.monotonic() < until, "it did not start"
            time.sleep(0.02)

    def of_yarn(self):
        return [one["observation"] for one in self.outcome["evidence"] if one["source"].startswith("YARN")]


@pytest.fixture
def server(stand_in):
    made = stand_in()
    made.says("PUT", f"{YARN_APP}/state", (202, {}, {"state": "RUNNING"}))
    return made


@pytest.fixture
def wrapped(tmp_path, env, executable, server):
    executable(tmp_path / "my java" / "bin" / "java", JAVA)
    return Wrapped(tmp_path, env, server)


def app(state, final):
    return (200, {}, {"app": {"id": APP, "state": state, "finalStatus": final, "diagnostics": "its words"}})


def test_yarn_is_asked_how_it_ended(wrapped, server):
    server.says("GET", YARN_APP, app("FINISHED", "FAILED"))
    with wrapped.start(*CLUSTER) as process:
        said = process.stderr.read()
    assert (process.returncode, wrapped.outcome["state"], wrapped.outcome["app_id"]) == (1, "FAILED", APP), said
    assert wrapped.of_yarn() == ["FAILED on the cluster: its words"]
    assert wrapped.env["SAYS"] in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
def test_a_stop_ends_the_application(wrapped, server, number):
    """After SIGKILL it is somebody else who does so."""
    server.says("GET", YARN_APP, app("RUNNING", "UNDEFINED"), app("KILLED", "KILLED"))
    with wrapped.start(*CLUSTER, STAYS="1") as process:
        assert APP in next(line for line in process.stderr if APP in line)
        if number == signal.SIGKILL:
            wait_until_saved(wrapped)
        process.send_signal(number)
        assert process.wait(WITHIN) == -number
        assert wrapped.outcome["state"] == "KILLED"
    assert [body for method, _, body, _ in server.asked if method == "PUT"] == [b'{"state": "KILLED"}']


def wait_until_saved(wrapped):
    until = time.monotonic() + WITHIN
    while not any(APP in file.read_text() for file in wrapped.home.glob("run/*/watches.json")):
        assert time.monotonic() < until, "nothing was saved"
        time.sleep(0.02)


def test_a_stop_of_who_can_not_be_named_says_that_it_may_still_run(wrapped, server):
    with wrapped.start(*CLIENT, STAYS="1") as process:
        wrapped.wait_until_it_runs()
        process.terminate()
        said = process.stderr.read()
    assert wrapped.where.read_text().startswith("pipe:")
    assert "id is not known, so YARN was not asked to end it and it may still run" in said
    assert wrapped.of_yarn() == ["the application's id is not known: YARN can't be asked"]
    assert (wrapped.outcome["state"], server.asked) == ("KILLED", [])


def test_a_drivers_terminal_stays_its_own(wrapped):
    """In client mode what the driver has is what we have, whatever that is."""
    ours, theirs = os.openpty()
    try:
        name = os.ttyname(theirs)
        address = "spark.hadoop.yarn.resourcemanager.webapp.address=127.0.0.1:1"
        command = [sys.executable, "-m", "raydp_wrap", "spark-submit", *CLIENT, "--conf", address, "app.jar"]
        subprocess.run(command, env=wrapped.env, stdout=subprocess.DEVNULL, stderr=theirs, check=True)
        assert wrapped.where.read_text().strip() == name
    finally:
        os.close(ours)
        os.close(theirs)
