"""What an application can see of how it was started, on both sides."""

from __future__ import annotations

import os
import signal

import pytest
from spark_sides import alike, assert_polite
from spark_table import PRIVATE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ARGUMENTS = ["a b", "", "'\"$x`*", "line\nline\n", "ü", "--master", "why?", "\\", "-", "--", "--conf=x", "a=b", "$(id)"]
NOT_TEXT = os.fsdecode(b"\xff")
# Of /proc/self/status; a session of its own, where there is no terminal, is ours.
STATUS = ("Umask", "Uid", "Gid", "Groups", "NoNewPrivs", "Seccomp", "Cpus_allowed", "SigBlk", "SigIgn")


def status_of(told):
    pairs = (line.partition(":") for line in told["status"].splitlines())
    return {name: value.strip() for name, _, value in pairs if name in STATUS}


def without_private(env):
    return {name: value for name, value in env.items() if name not in PRIVATE}


# One that fails has no start cache made after it.
@pytest.mark.requirement("drop-in-2", "drop-in-3", "spark-fast-python")
@pytest.mark.parametrize(("app", "cache"), [("python", "off"), ("python", "on"), ("java", "off")])
def test_the_application_sees_the_same(pair, tmp_path, app, cache):
    conf = tmp_path / "conf"
    conf.mkdir()
    (conf / "spark-env.sh").write_text('FROM_FILE="a b"\nexport EXPORTED=1\necho said; echo warned >&2\n')
    env = {
        "RAYDP_WRAP_JVM_CACHE": cache,
        "SPARK_CONF_DIR": str(conf),
        "LANG": "C.UTF-8",
        "EMPTY": "",
        "LINES_": "a\nb",
        "HADOOP_CONF_DIR": "/h",
    }
    arguments = [*ARGUMENTS, NOT_TEXT] if app == "python" else ARGUMENTS
    options = ["--master", "local", "--driver-library-path", "/some/lib", "--name", "Kä se", "--conf", "spark.x=a  b"]
    end = "exit:3" if app == "python" else "stdin"
    old_mask = os.umask(0o27)
    try:
        runs = pair.start([*options, *pair.application(app, end, *arguments)], env=env, stdin=b"in\n", ignore=[1, 3])
    finally:
        os.umask(old_mask)
    stock, ours = (run.told() for run in runs)
    assert ours["argv"] == stock["argv"]
    assert ours["argv"][: len(ARGUMENTS)] == ARGUMENTS
    assert ours["stdin"] == stock["stdin"] == ("in\n" if app == "java" else "")
    assert ours["tty"] == stock["tty"] == [False] * 3
    assert ours["cwd"] == stock["cwd"] == str(pair.directory)
    assert ours["limits"] == stock["limits"]
    assert without_private(ours["env"]) == without_private(stock["env"])
    assert set(PRIVATE) >= set(ours["env"]) ^ set(stock["env"])
    assert ours["env"]["FROM_FILE"] == "a b"
    assert status_of(ours) == status_of(stock)
    assert status_of(ours)["Umask"] == "0027"
    if app == "python":
        assert [ours[what] for what in ("python", "path", "fds")] == [stock[what] for what in ("python", "path", "fds")]
    stock, ours = (run.ended() for run in runs)
    assert (ours.status, ours.stderr) == (stock.status, stock.stderr)
    assert alike(app, ours.stdout, stock.stdout)
    assert ours.stdout.splitlines()[0] == "said"
    assert_polite(ours)


@pytest.mark.requirement("drop-in-2")
@pytest.mark.parametrize("app", ["python", "java"])
def test_a_terminal_is_the_applications_and_ctrl_c_ends_it(pair, app):
    runs = pair.start(pair.application(app, "wait"), tty=True)
    told = {run.name: run.told() for run in runs}
    assert told["ours"]["tty"] == told["stock"]["tty"] == [app == "java"] * 3
    assert told["ours"]["size"] == told["stock"]["size"] == ("24 100" if app == "java" else "")
    for run in runs:
        run.type(b"\x03")
    stock, ours = (run.ended() for run in runs)
    assert (ours.status, ours.left) == (stock.status, stock.left) == (128 + signal.SIGINT, frozenset())


@pytest.mark.requirement("drop-in-2")
def test_what_a_shell_opened_for_an_argument_is_open(pair):
    """``<(command)`` is /dev/fd/63 and an open 63, in a Java application."""
    shell = ["bash", "-c", '"$1" "${@:2:3}" "$5" "read:"<(echo from the shell)', "bash"]
    runs = pair.start(pair.application("java", "")[:-1], prefix=shell)
    stock, ours = (run.told() for run in runs)
    assert ours["stdin"] == stock["stdin"] == "from the shell\n"
