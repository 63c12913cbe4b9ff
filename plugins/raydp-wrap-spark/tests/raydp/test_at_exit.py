"""What the application's Python does when it ends, with a pyspark that only says that it was stopped."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from raydp_wrap_spark.raydp import command, raydp_submit

AT_EXIT = str(Path(command.__file__).parent / "at_exit")
CONTEXT = """
class SparkContext:
    _active_spark_context = None
    def __init__(self):
        SparkContext._active_spark_context = self
    def stop(self):
        print("stopped", flush=True)
        raise RuntimeError("the JVM is gone")
"""


@pytest.fixture
def run(tmp_path):
    (tmp_path / "pyspark").mkdir()
    (tmp_path / "pyspark" / "__init__.py").touch()
    (tmp_path / "pyspark" / "context.py").write_text(CONTEXT)
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.customized = __file__\n")

    def start(program, paths=(AT_EXIT, str(tmp_path)), **more):
        env = {"PYTHONPATH": os.pathsep.join(paths), "PYSPARK_GATEWAY_PORT": "1", **more}
        return subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False)

    return start


@pytest.mark.requirement("raydp-submit-run")
@pytest.mark.parametrize("end", ["", "sys.exit(3)", "raise ValueError('own')"])
def test_a_context_that_still_runs_is_stopped_and_the_exit_code_stays(run, end):
    done = run(f"import sys\nfrom pyspark.context import SparkContext\nSparkContext()\n{end}")
    assert (done.stdout, done.returncode) == ("stopped\n", {"": 0, "s": 3, "r": 1}[end[:1]])
    assert "JVM is gone" not in done.stderr


@pytest.mark.parametrize(
    "program",
    [
        "",
        "import pyspark",
        "from pyspark.context import SparkContext",
        "from pyspark.context import SparkContext\nSparkContext()\nSparkContext._active_spark_context = None",
    ],
)
def test_without_one_there_is_nothing_to_do(run, program):
    done = run(program)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_fork_leaves_it_alone(run):
    program = "import os\nfrom pyspark.context import SparkContext\nSparkContext()\nos.fork() and os.wait()"
    assert run(program).stdout == "stopped\n"


def test_a_python_that_spark_did_not_start_leaves_it_alone(run):
    program = "import os\nfrom pyspark.context import SparkContext\nSparkContext()"
    assert run(f"import os\ndel os.environ['PYSPARK_GATEWAY_PORT']\n{program}").stdout == "stopped\n"
    child = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {program!r}])"
    assert run(child).stdout == ""


def test_the_application_sees_nothing_of_it(run, tmp_path):
    told = "import os, sys\nprint(os.environ.get('PYTHONPATH'), sys.path[1], sys.customized)"
    assert run(told).stdout == f"{tmp_path} {tmp_path} {tmp_path}/sitecustomize.py\n"
    alone = run("import os, sys\nprint('PYTHONPATH' in os.environ, [p for p in sys.path if 'at_exit' in p])", [AT_EXIT])
    assert (alone.stdout, alone.stderr) == ("False []\n", "")


@pytest.mark.requirement("raydp-submit-run")
def test_raydp_submit_puts_it_first(ray_env):
    assert raydp_submit(["app.py"], ray_env).env["PYTHONPATH"] == AT_EXIT
    assert raydp_submit(["app.py"], {**ray_env, "PYTHONPATH": "/mine"}).env["PYTHONPATH"] == f"{AT_EXIT}:/mine"
