"""The watch, with a driver made of bytes: what it puts into a launch, hears, asks and saves."""

from __future__ import annotations

import json
import os
import select
import subprocess
import time

import pytest
from raydp_wrap.errors import UsageError
from raydp_wrap.model import Launch, Submission
from raydp_wrap.watch import Notice

from raydp_wrap_spark.launcher_protocol import making
from raydp_wrap_spark.launcher_protocol.making import launcher_watch
from raydp_wrap_spark.launcher_protocol.messages import stop_request

SUBMISSION = Submission("sub-1", "app", 1.0)
MAIN = "org.apache.spark.deploy.SparkSubmit"


def launch(*words, before=(), env=None, settings=None):
    argv = ("java", *before, MAIN, *(words or ("app.py",)))
    return Launch(argv, executable="java", env=env or {}, settings=settings or {})


@pytest.fixture
def watch():
    made = launcher_watch(SUBMISSION, launch(settings={"launcher.stop.timeout": "7"}))
    yield made
    made.close()


def heard(watch, count=1):
    found = []
    while len(found) < count:
        assert select.select([watch.fileno()], [], [], 10)[0], f"nothing but {found}"
        found += watch.notices()
    return found


@pytest.fixture
def driver(watch, connect):
    """A connected driver: this very process."""
    env = watch.launch.env
    watch.started(os.getpid())
    made = connect(int(env["_SPARK_LAUNCHER_PORT"]))
    made.send("Hello", env["_SPARK_LAUNCHER_SECRET"], "4.3.0")
    made.send("SetAppId", "app-1")
    made.send("SetState", "RUNNING")
    assert heard(watch, 2) == [Notice(app_id="app-1"), Notice(running=True)]
    return made


@pytest.mark.requirement("launcher-2")
def test_the_secret_is_in_the_drivers_environment_and_nowhere_else(watch, driver):  # noqa: ARG001 - it speaks
    secret = watch.launch.env["_SPARK_LAUNCHER_SECRET"]
    assert len(secret) >= 64
    assert watch.launch.argv == launch().argv
    assert secret not in json.dumps(watch.save())
    assert secret not in repr(watch)


@pytest.mark.requirement("launcher-4")
@pytest.mark.parametrize(
    "given",
    [
        pytest.param(launch(env={"_SPARK_LAUNCHER_PORT": "1"}), id="port set"),
        pytest.param(launch(env={"_SPARK_LAUNCHER_SECRET": "x"}), id="secret set"),
        pytest.param(launch("--conf", "spark.launcher.port=1", "app.py"), id="conf"),
        pytest.param(launch("--conf=spark.launcher.secret=1", "app.py"), id="joined conf"),
        pytest.param(launch("--driver-java-options", "-Dspark.launcher.port=1", "app.py"), id="java option"),
        pytest.param(launch(before=("-Dspark.launcher.port=1",)), id="java option before"),
        pytest.param(launch(settings={"launcher": "off"}), id="switched off"),
        pytest.param(launch(env={"RAYDP_WRAP_LAUNCHER": "off"}), id="switched off by a variable"),
        pytest.param(Launch(("sleep", "1")), id="no spark"),
    ],
)
def test_others_are_left_alone(given):
    assert launcher_watch(SUBMISSION, given) is None


@pytest.mark.requirement("launcher-4")
def test_a_launcher_in_spark_defaults_is_left_alone(tmp_path):
    (tmp_path / "spark-defaults.conf").write_text("spark.launcher.port 1\n")
    env = {"SPARK_HOME": str(tmp_path), "SPARK_CONF_DIR": str(tmp_path)}
    assert launcher_watch(SUBMISSION, launch(env=env)) is None


@pytest.mark.requirement("launcher-4")
def test_an_applications_own_argument_is_no_launcher():
    watch = launcher_watch(SUBMISSION, launch("app.py", "--conf", "spark.launcher.port=1"))
    assert watch is not None
    watch.close()


@pytest.mark.requirement("launcher-4")
def test_without_a_port_there_is_no_watch(monkeypatch):
    def no_port():
        raise OSError(98, "in use")

    monkeypatch.setattr(making, "LauncherServer", no_port)
    assert launcher_watch(SUBMISSION, launch()) is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"exit.timeout": "soon"}, r"spark\.raydp\.wrap\.exit\.timeout: 'soon'"),
        ({"launcher.stop.timeout": "x"}, "launcher.stop.timeout"),
        ({"launcher": "maybe"}, "neither on nor off"),
    ],
)
def test_a_wrong_setting_is_told(settings, message):
    with pytest.raises(UsageError, match=message):
        launcher_watch(SUBMISSION, launch(settings=settings))


@pytest.mark.requirement("launcher-4")
def test_a_drivers_connection_is_not_refused_though_its_owner_is_gone(watch, connect):
    """It would give up its SparkContext. The driver has the listener, too."""
    port = int(watch.launch.env["_SPARK_LAUNCHER_PORT"])
    with subprocess.Popen(["sleep", "1000"], pass_fds=watch.launch.pass_fds) as driver:
        watch.close()
        try:
            connect(port).send("Hello", "x", "4.3.0")
        finally:
            driver.kill()
    with pytest.raises(ConnectionRefusedError):
        connect(port)


@pytest.mark.requirement("launcher-5")
def test_state_is_saved(watch, driver):
    assert watch.save() | {"at": 0} == {"kind": "launcher", "spark": "4.3.0", "state": "RUNNING", "at": 0, "hang": None}
    driver.send("SetState", "FINISHED")
    driver.socket.close()
    while watch.save()["state"] != "FINISHED":
        assert select.select([watch.fileno()], [], [], 10)[0]
        assert watch.notices() == []
    assert watch.save()["at"] > 1e9


@pytest.mark.requirement("launcher-5")
def test_what_came_last_is_heard_at_the_end(watch, driver):
    driver.send("SetState", "KILLED")
    driver.socket.close()
    assert watch.ended() == []
    assert watch.save()["state"] == "KILLED"


@pytest.mark.requirement("launcher-3")
@pytest.mark.parametrize("answer", ["KILLED", None])
def test_stop(watch, driver, answer):
    assert watch.stop() == 7.0
    assert driver.socket.recv(1000) == stop_request()
    if answer:
        driver.send("SetState", answer)
    else:
        driver.socket.close()
    assert heard(watch) == [Notice(asked=True)]
    driver.socket.close()
    assert watch.ended() == []


@pytest.mark.requirement("launcher-3")
def test_without_a_driver_there_is_nobody_to_ask(watch):
    assert watch.stop() == 0.0


@pytest.mark.requirement("launcher-2")
@pytest.mark.parametrize("app_id", ["a" * 257, "app\n1", "app\x1b[2J"])
def test_an_app_id_that_is_none_is_not_passed_on(watch, driver, app_id):
    driver.send("SetAppId", app_id)
    driver.send("SetState", "RUNNING")
    assert heard(watch) == [Notice(running=True)]


@pytest.mark.requirement("hang-1")
def test_a_stop_ends_the_hang_guard(watch, driver):
    watch.stop()
    driver.send("SetState", "KILLED")
    driver.socket.close()
    heard(watch)
    watch.notices()
    assert watch.deadline() is None


@pytest.mark.requirement("hang-1")
@pytest.mark.parametrize(("timeout", "looks"), [("60", True), ("0", False)])
@pytest.mark.parametrize("state", ["FINISHED", "RUNNING"])
def test_it_looks_after_the_jvm_once_the_application_has_left(connect, timeout, looks, state):
    with subprocess.Popen(["sleep", "1000"]) as driver:
        watch = launcher_watch(SUBMISSION, launch(settings={"exit.timeout": timeout}))
        try:
            env = watch.launch.env
            watch.started(driver.pid)
            watch._server.driver_pid = None  # the connection is this process's
            end = connect(int(env["_SPARK_LAUNCHER_PORT"]))
            end.send("Hello", env["_SPARK_LAUNCHER_SECRET"], "4.3.0")
            end.send("SetState", "RUNNING")
            heard(watch)
            if state != "RUNNING":
                end.send("SetState", state)
            end.socket.close()
            while watch._server.connected:
                assert select.select([watch.fileno()], [], [], 10)[0]
                watch.notices()
            assert (watch.deadline() is not None) == (looks and state == "FINISHED")
        finally:
            watch.close()
            driver.kill()


@pytest.mark.requirement("hang-4")
@pytest.mark.parametrize(
    ("words", "scripted"),
    [
        (("app.py", "5"), True),
        (("--name", "x", "app.R"), True),
        (("--class", "a.B", "app.jar", "x.py"), False),
        (("--master", "ray", "--class", "a.B", "app.jar"), False),
        (("pyspark-shell",), True),
        (("--class", "org.apache.spark.deploy.PythonRunner", "app.jar", "x.py"), True),
        (("--class", "org.apache.spark.repl.Main", "spark-shell"), False),
    ],
)
def test_only_a_script_has_a_driver_of_its_own(connect, monkeypatch, words, scripted):
    looked = []
    monkeypatch.setattr("raydp_wrap_spark.launcher_protocol.watch.find_driver_of", looked.append)
    watch = launcher_watch(SUBMISSION, launch(*words))
    try:
        watch.started(os.getpid())
        end = connect(int(watch.launch.env["_SPARK_LAUNCHER_PORT"]))
        end.send("Hello", watch.launch.env["_SPARK_LAUNCHER_SECRET"], "4.3.0")
        end.send("SetState", "RUNNING")
        heard(watch)
        assert bool(looked) is scripted
    finally:
        watch.close()


@pytest.mark.requirement("hang-4")
def test_a_stop_that_is_heard_of_late_is_known_to_be(watch, driver, monkeypatch):
    """The hang guard must not take what happened meanwhile for what was before."""
    begun = []
    monkeypatch.setattr(watch._hang, "begin", lambda *given: begun.append(given))
    driver.send("SetState", "FINISHED")
    driver.socket.close()
    silent = time.monotonic() + 0.1
    while (left := silent - time.monotonic()) > 0:
        select.select([], [], [], left)
    while not begun:
        assert select.select([watch.fileno()], [], [], 10)[0]
        watch.notices()
    ((_, _, late),) = begun
    assert 0.08 <= late <= 10
