"""The commands a user types, on real Spark: app id, state, a polite stop, and JVMs that live on."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
PROGRAMS = Path(__file__).parents[1] / "programs"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.skipif(not (BIN / "spark-submit").exists(), reason="needs pyspark in this environment"),
]


@pytest.fixture
def environment(tmp_path):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SPARK_", "PYSPARK_"))}
    kept["PATH"] = f"{BIN}:{kept['PATH']}"
    return {**kept, "RAYDP_WRAP_HOME": str(tmp_path / "home"), "SPARK_LOCAL_IP": "127.0.0.1"}


def command(told, *words, timeout="3s"):
    """raydp-submit with a sink, and a hang guard after TIMEOUT."""
    ours = {"sinks": f"file:{told}", "report.timeout": "60s", "exit.timeout": timeout}
    confs = ["spark.ui.enabled=false", *(f"spark.raydp.wrap.{name}={value}" for name, value in ours.items())]
    options = [word for conf in confs for word in ("--conf", conf)]
    return [str(BIN / "raydp-submit"), "--master", "local[1]", *options, *map(str, words)]


def run(environment, told, *words, timeout="3s"):
    """What it did, and the outcome its sink was told."""
    done = subprocess.run(
        command(told, *words, timeout=timeout), env=environment, capture_output=True, text=True, check=False
    )
    assert told.exists(), done.stderr[-3000:]
    return done, json.loads(told.read_text(encoding="utf-8"))


@pytest.mark.requirement("launcher-2", "launcher-5")
def test_the_app_id_is_known_and_nothing_else_changes(environment, tmp_path):
    done, outcome = run(environment, tmp_path / "told", PROGRAMS / "app.py")
    assert (done.returncode, outcome["state"], outcome["app_id"]) == (3, "FAILED", None)
    word_count = PROGRAMS.parents[3] / "examples"
    done, outcome = run(
        environment, tmp_path / "told2", word_count / "word_count.py", word_count / "data" / "lighthouse.txt", "5"
    )
    assert (done.returncode, outcome["state"]) == (0, "FINISHED"), done.stderr[-3000:]
    assert re.fullmatch(r"local-\d+", outcome["app_id"])
    assert not re.search(r"[0-9a-f]{64}", json.dumps(outcome) + done.stderr)


@pytest.mark.requirement("launcher-3")
def test_a_stop_asks_the_driver_first(environment, tmp_path):
    told = tmp_path / "told"
    with subprocess.Popen(
        command(told, PROGRAMS / "forever.py"), env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as submit:
        assert submit.stdout.readline() == b"running a query\n"
        os.kill(submit.pid, signal.SIGTERM)
        _, log = submit.communicate(timeout=60)
    outcome = json.loads(told.read_text(encoding="utf-8"))
    assert (outcome["state"], outcome["reason"]) == ("KILLED", "StopRequested"), outcome
    assert submit.returncode == 143
    said = [evidence for evidence in outcome["evidence"] if evidence["source"] == "Spark launcher"]
    assert "KILLED" in said[0]["observation"], log.decode()[-3000:]


@pytest.mark.requirement("hang-2", "hang-4")
def test_a_python_application_whose_jvm_lives_on(environment, tmp_path):
    done, outcome = run(environment, tmp_path / "told", PROGRAMS / "hanging.py", "0", "0")
    assert (done.returncode, outcome["state"], outcome["exit_code"]) == (0, "FINISHED", 0), outcome
    assert "ExitForced" in outcome["diagnostics"]
    assert "kept alive by 'pool-" in outcome["diagnostics"]
    assert done.stdout.splitlines() == ["5", "done"]


@pytest.mark.requirement("hang-1")
def test_a_python_application_may_work_on_after_its_stop(environment, tmp_path):
    done, outcome = run(environment, tmp_path / "told", PROGRAMS / "hanging.py", "6", "3", timeout="2s")
    assert (done.returncode, outcome["state"], outcome["exit_code"]) == (3, "FAILED", 3), outcome
    assert done.stdout.splitlines() == ["5", "done"]


@pytest.mark.requirement("hang-2", "hang-4")
@pytest.mark.parametrize(("how", "code"), [("returns", 0), ("throws", 1)])
def test_a_java_application_whose_jvm_lives_on(environment, tmp_path, hanging_spark, how, code):
    done, outcome = run(environment, tmp_path / "told", "--class", "HangingSpark", hanging_spark, how)
    assert (done.returncode, outcome["exit_code"]) == (code, code), outcome
    assert outcome["state"] == ("FAILED" if code else "FINISHED")
    assert "kept alive by 'pool-1-thread-1'" in outcome["diagnostics"]
    assert done.stdout.splitlines() == ["5"]


@pytest.mark.requirement("hang-4")
def test_a_failure_whose_marks_were_collected_is_no_success(environment, tmp_path, hanging_spark):
    done, outcome = run(environment, tmp_path / "told", "--class", "HangingSpark", hanging_spark, "throws and collects")
    assert done.returncode != 0, outcome
    assert outcome["state"] == "FAILED"
    assert "ExitForced" in outcome["diagnostics"]


@pytest.mark.requirement("hang-5")
@pytest.mark.parametrize("how", ["works", "flushes"])
def test_a_java_application_may_work_on_after_its_end(environment, tmp_path, hanging_spark, how):
    words = "--class", "HangingSpark", hanging_spark, how
    done, outcome = run(environment, tmp_path / "told", *words, timeout="2s")
    assert (done.returncode, outcome["state"]) == (0, "FINISHED"), outcome
    assert done.stdout.splitlines() == ["5", *(f"part {part}" for part in range(12))]


@pytest.mark.requirement("hang-4")
def test_a_gateway_that_a_java_application_inherits_is_not_its_own(environment, tmp_path, hanging_spark):
    """As where a PySpark program starts it: then main's end alone would be taken for its Python's exit with 0."""
    environment["PYSPARK_GATEWAY_PORT"] = "1"
    done, outcome = run(environment, tmp_path / "told", "--class", "HangingSpark", hanging_spark, "throws and runs")
    assert done.returncode != 0, outcome
    assert outcome["state"] == "FAILED"


@pytest.mark.requirement("hang-1")
def test_without_a_limit_a_jvm_lives_on(environment, tmp_path, hanging_spark):
    told = tmp_path / "told"
    words = command(told, "--class", "HangingSpark", hanging_spark, "returns", timeout="0")
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as submit:
        log = b""
        while b"Successfully stopped SparkContext" not in log:
            log += os.read(submit.stderr.fileno(), 1 << 16)
        # Longer than the other tests' limit, and than its first look.
        until = time.monotonic() + 5.0
        while (left := until - time.monotonic()) > 0 and submit.poll() is None:
            select.select([], [], [], min(left, 0.2))
        assert submit.poll() is None
        os.kill(submit.pid, signal.SIGTERM)
        submit.communicate(timeout=60)
    assert json.loads(told.read_text(encoding="utf-8"))["state"] == "KILLED"
