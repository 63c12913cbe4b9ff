"""In a notebook's kernel: an error, or an interrupt, ends a cell; a stop, or the kernel's end, ends the application."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
MISSING = [name for name in ("pyspark", "ipykernel", "jupyter_client") if importlib.util.find_spec(name) is None]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)} in this environment"),
]

START = """
import os, sys, threading
import raydp_wrap_spark
from pyspark.sql import SparkSession
def start(name):
    global spark, tracked
    spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").appName(name).getOrCreate()
    tracked = raydp_wrap_spark.track(spark, sinks=[{sink!r}])
"""


class Notebook:
    def __init__(self, environment, sink):
        from jupyter_client.manager import start_new_kernel  # noqa: PLC0415 - not everybody has it

        self.manager, self.client = start_new_kernel(startup_timeout=60, env=environment, cwd="/")
        self.run(START.format(sink=sink))

    def run(self, code, *, on_output=lambda _: None, allow_error=False):
        """Execute a cell; its stdout, and the name of the error it ended by."""
        out = []

        def output(message):
            if message["msg_type"] == "stream" and message["content"]["name"] == "stdout":
                out.append(message["content"]["text"])
                on_output(message)

        reply = self.client.execute_interactive(code, output_hook=output, timeout=120)["content"]
        error = reply.get("ename")
        assert allow_error or error is None, reply
        return "".join(out), error

    def close(self):
        self.client.stop_channels()
        if self.manager.has_kernel:
            self.manager.shutdown_kernel(now=True)
        self.manager.context.destroy()


@pytest.fixture
def notebook(environment, told, tmp_path):
    environment = {**environment, "JUPYTER_RUNTIME_DIR": str(tmp_path / "jupyter"), "IPYTHONDIR": str(tmp_path / "ipy")}
    with contextlib.ExitStack() as stack:
        made = Notebook(environment, told.sink)
        stack.callback(made.close)
        yield made


@pytest.mark.requirement("track-12")
def test_a_cell_is_not_the_application(notebook, told):
    notebook.run("start('first')")
    assert notebook.run("1/0", allow_error=True)[1] == "ZeroDivisionError"
    notebook.run("sys.exit(3)", allow_error=True)
    interrupted = notebook.run(
        "print('waiting', flush=True); threading.Event().wait(60)",
        on_output=lambda _: notebook.manager.interrupt_kernel(),
        allow_error=True,
    )
    assert interrupted == ("waiting\n", "KeyboardInterrupt")
    assert notebook.run("print(raydp_wrap_spark.track(spark) is tracked, tracked.outcome)")[0] == "True None\n"
    assert notebook.run("print(spark.range(5).count())")[0] == "5\n"
    assert told.all() == []
    notebook.run("spark.stop()")
    (first,) = told.all()
    assert (first["name"], first["state"], first["exit_code"]) == ("first", "FINISHED", 0)

    notebook.run("start('second')")
    assert notebook.run("try: 1/0\nfinally: spark.stop()", allow_error=True)[1] == "ZeroDivisionError"
    (_, second) = told.all()
    assert (second["name"], second["state"], second["exit_code"]) == ("second", "FAILED", 1)
    assert "ZeroDivisionError" in second["diagnostics"]

    notebook.run("start('third')")
    notebook.manager.shutdown_kernel()
    (_, _, third) = told.all()
    assert (third["name"], third["state"], third["reason"]) == ("third", "KILLED", "StopRequested")
    assert third["diagnostics"].startswith("the notebook's kernel was shut down before its SparkContext was stopped")


@pytest.mark.requirement("track-4", "track-12")
def test_a_kernel_that_dies_is_told_of_from_outside(notebook, told):
    notebook.run("start('killed')")
    pid = int(notebook.run("print(os.getpid())")[0])
    os.kill(pid, 9)
    outcome = told.one()
    assert (outcome["name"], outcome["state"], outcome["reason"]) == ("killed", "KILLED", "OwnerDied")
