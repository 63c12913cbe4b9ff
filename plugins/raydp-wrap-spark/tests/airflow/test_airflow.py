"""Apache Airflow's SparkSubmitHook and SparkSubmitOperator call our shim, unchanged."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

from raydp_wrap_spark.shim import install

HERE = Path(__file__).parent
PROGRAMS = HERE.parent / "programs"
ROOT = HERE.parents[3]
BIN = Path(sys.executable).parent
AIRFLOW = Path(os.environ.get("RAYDP_WRAP_TEST_AIRFLOW") or ROOT / ".venv-airflow" / "bin" / "python")
PATIENCE = 120.0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not AIRFLOW.exists(), reason="needs Airflow: make .venv-airflow/airflow.stamp"),
    pytest.mark.skipif(not (BIN / "spark-submit").exists(), reason="needs pyspark in this environment"),
]


@pytest.fixture
def drive(tmp_path):
    """Start drive.py in Airflow's environment, our shims first on PATH, Spark's own behind them."""
    install(tmp_path / "shims")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SPARK_", "PYSPARK_"))}
    env = {
        **kept,
        "PATH": f"{tmp_path / 'shims'}:{BIN}:{kept['PATH']}",
        "SPARK_LOCAL_IP": "127.0.0.1",
        "RAYDP_WRAP_HOME": str(tmp_path / "home"),
        "RAYDP_WRAP_SINKS": f"file:{tmp_path / 'told.json'}",
        "RAYDP_WRAP_JVM_CACHE": "off",
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW_CONN_SPARK_DEFAULT": json.dumps({"conn_type": "spark", "host": "local[1]"}),
        "AIRFLOW_CTX_DAG_ID": "my_dag",
    }

    def start(*argv):
        command = [AIRFLOW, HERE / "drive.py", *argv]
        with (tmp_path / "stderr").open("wb") as stderr:
            return subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr)

    return start


def result_of(process, tmp_path, says=None):
    output, _ = process.communicate(says, timeout=PATIENCE)
    assert process.returncode == 0, (tmp_path / "stderr").read_text()[-3000:]
    return json.loads(output.splitlines()[-1])


def told(tmp_path):
    return json.loads((tmp_path / "told.json").read_text(encoding="utf-8"))


def diagnosis_of(result):
    """Our own lines in the text of Airflow's exception, which are its last."""
    lines = result["text"].splitlines()
    own = [line for line in lines if line.startswith("raydp-wrap: ")]
    assert 0 < len(own) <= 15
    assert lines[-len(own) :] == own
    return own


def read_line(fd):
    """The line that the application writes into the FIFO behind FD."""
    text = b""
    while not text.endswith(b"\n"):
        assert select.select([fd], [], [], PATIENCE)[0], "the application told nothing"
        text += os.read(fd, 1 << 16)
    return json.loads(text)


@pytest.mark.requirement("airflow-1")
@pytest.mark.parametrize("who", ["hook", "operator"])
def test_success(drive, tmp_path, who):
    report = tmp_path / "report"
    result = result_of(drive(who, PROGRAMS / "observe.py", report, "exit:0", "a b"), tmp_path)
    assert result == {"raised": None, "text": ""}
    seen = json.loads(report.read_text())
    assert (seen["argv"], seen["env"]["AIRFLOW_CTX_DAG_ID"]) == (["a b"], "my_dag")
    assert told(tmp_path)["state"] == "FINISHED"


@pytest.mark.requirement("airflow-2")
@pytest.mark.parametrize("who", ["hook", "operator"])
def test_failure(drive, tmp_path, who):
    result = result_of(drive(who, PROGRAMS / "observe.py", "/dev/null", "raise"), tmp_path)
    assert result["raised"] == "AirflowException"
    assert "Error code is: 1." in result["text"]
    assert diagnosis_of(result)[0] == "raydp-wrap: FAILED (AppFailed): the driver exited with 1"
    outcome = told(tmp_path)
    assert (outcome["state"], outcome["exit_code"], outcome["reason"]) == ("FAILED", 1, "AppFailed")


@pytest.mark.requirement("airflow-2", "airflow-3")
@pytest.mark.parametrize("whom", ["kill", "hook"])
def test_whoever_is_killed_nothing_survives(drive, tmp_path, whom):
    """on_kill is a SIGKILL to our pid only; the other is what an OOM killer does to the JVM."""
    os.mkfifo(tmp_path / "fifo")
    fifo = os.open(tmp_path / "fifo", os.O_RDWR | os.O_CLOEXEC)
    process = drive(whom, PROGRAMS / "observe.py", tmp_path / "fifo", "wait")
    try:
        seen = read_line(fifo)
        everyone = [os.pidfd_open(seen[pid]) for pid in ("pid", "ppid")]
        if whom == "hook":
            os.kill(seen["ppid"], 9)
        result = result_of(process, tmp_path, b"\n")
    finally:
        process.kill()
        os.close(fifo)
    for pidfd in everyone:
        assert select.select([pidfd], [], [], PATIENCE)[0], "it survives"
        os.close(pidfd)
    assert result["raised"] == "AirflowException"
    assert "Error code is: -9." in result["text"]
    if whom == "hook":
        assert diagnosis_of(result)[0] == "raydp-wrap: FAILED (AppFailed): the driver was ended by SIGKILL"
