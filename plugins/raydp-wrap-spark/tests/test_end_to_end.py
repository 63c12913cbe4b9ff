"""The commands a user types, on real Spark: the word count, and SIGKILL in the middle of an application."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
BIN = Path(sys.executable).parent
PROGRAMS = Path(__file__).parent / "programs"
WORD_COUNT = ROOT / "examples" / "word_count.py"
TEXT = ROOT / "examples" / "data" / "lighthouse.txt"
WITHIN = 60.0

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(not (BIN / "spark-submit").exists(), reason="needs pyspark in this environment"),
]


@pytest.fixture
def environment(tmp_path):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SPARK_", "PYSPARK_"))}
    kept["PATH"] = f"{BIN}:{kept['PATH']}"
    return {**kept, "RAYDP_WRAP_HOME": str(tmp_path / "home"), "SPARK_LOCAL_IP": "127.0.0.1"}


def tree(pid):
    """PID's descendants, by /proc."""
    parents = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                parents[int(name)] = int(file.read().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found, todo = [], [pid]
    while todo:
        parent = todo.pop()
        children = [child for child, of in parents.items() if of == parent]
        found += children
        todo += children
    return found


def command_of(pid):
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return os.fsdecode(file.read().replace(b"\0", b" "))


@pytest.mark.requirement("spark-4.1", "spark-4.2")
@pytest.mark.parametrize("tool", [["raydp-submit"], ["raydp-wrap", "spark-submit"]], ids=" ".join)
def test_word_count_on_real_spark(environment, tool):
    done = subprocess.run(
        [
            str(BIN / tool[0]),
            *tool[1:],
            "--master",
            "local[2]",
            "--conf",
            "spark.ui.enabled=false",
            WORD_COUNT,
            TEXT,
            "5",
        ],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    words = re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)*", TEXT.read_text(encoding="utf-8").lower())
    expected = sorted(Counter(words).items(), key=lambda pair: (-pair[1], pair[0]))[:5]
    lines = done.stdout.splitlines()
    assert [(line.split()[0], int(line.split()[1])) for line in lines[:5]] == expected
    assert lines[-1] == f"{len(words)} words, {len(set(words))} different"


@pytest.mark.requirement("spark-4.1")
def test_exit_code_and_arguments_reach_the_user(environment):
    arguments = ["a b", "", "$(id)", "--conf", "ü\n"]
    command = [BIN / "raydp-submit", "--master", "local[1]", PROGRAMS / "app.py", *arguments]
    # In the C locale Java has no "ü", with spark-submit just so.
    environment = {**environment, "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr[-3000:]
    assert json.loads(done.stdout)["argv"][1:] == arguments


@pytest.mark.requirement("sink-4.4", "spark-4.1")
def test_a_sink_named_by_a_conf_is_told_how_the_application_ended(environment, tmp_path):
    told = tmp_path / "told.json"
    command = [BIN / "raydp-submit", "--master", "local[1]", "--conf", f"spark.raydp.wrap.sinks=file:{told}"]
    done = subprocess.run([*command, PROGRAMS / "app.py"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr[-3000:]
    outcome = json.loads(told.read_text(encoding="utf-8"))
    assert (outcome["state"], outcome["exit_code"], outcome["reason"]) == ("FAILED", 3, "AppFailed")


@pytest.mark.requirement("spark-4.3")
@pytest.mark.parametrize("victim", ["raydp-submit", "JVM"])
def test_nothing_survives_sigkill(environment, victim):
    """PySpark alone leaves its Python alive when the JVM is killed."""
    command = [
        BIN / "raydp-submit",
        "--master",
        "local[1]",
        "--conf",
        "spark.ui.enabled=false",
        PROGRAMS / "forever.py",
    ]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as submit:
        assert submit.stdout.readline().strip() == b"running a query", "the application did not start"
        (guard,) = [pid for pid in tree(submit.pid) if command_of(pid).startswith("raydp-guard")]
        everyone = {pid: command_of(pid) for pid in tree(submit.pid)}
        (jvm,) = [pid for pid, text in everyone.items() if "SparkSubmit" in text and pid != guard]
        assert any("forever.py" in text and "java" not in text.split()[0] for text in everyone.values())
        watched = {pid: os.pidfd_open(pid) for pid in everyone}
        os.kill(submit.pid if victim == "raydp-submit" else jvm, signal.SIGKILL)
        killed_at = time.monotonic()
        poll = select.poll()
        for fd in watched.values():
            poll.register(fd, select.POLLIN)
        left = dict(watched)
        while left and time.monotonic() - killed_at < WITHIN:
            for fd, _ in poll.poll(1000):
                poll.unregister(fd)
                left = {pid: other for pid, other in left.items() if other != fd}
        gone_after = time.monotonic() - killed_at
        for fd in watched.values():
            os.close(fd)
        assert not left, {pid: everyone[pid] for pid in left}
        assert submit.wait(WITHIN) == -signal.SIGKILL
    # The requirement is a second; the guard's own grace is half of it, the rest is a busy machine's.
    assert gone_after < 5.0
    print(f"\nSIGKILL of the {victim}: everything gone after {gone_after * 1000:.0f} ms")
