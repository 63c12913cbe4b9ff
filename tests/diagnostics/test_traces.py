"""The first exception of real texts, and its root cause."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raydp_wrap.diagnostics.traces import Raised, first_exception

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.requirement("outcome-1.4")
groups = pytest.mark.skipif(sys.version_info < (3, 11), reason="exception groups are of Python 3.11")


def first(text: str) -> tuple[str, str | None] | None:
    found = first_exception(dedent(text).split("\n"))
    return (found.text, found.root) if found else None


def printed(source: str) -> str:
    run = subprocess.run([sys.executable, "-c", dedent(source)], capture_output=True, text=True, check=False)
    assert run.returncode != 0
    return run.stderr


@pytest.mark.parametrize(
    ("source", "text", "root"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero", None),
        ("raise KeyboardInterrupt", "KeyboardInterrupt", None),
        ("a b", "SyntaxError: invalid syntax", None),
        ("def f(): f()\nf()", "RecursionError: maximum recursion depth exceeded", None),
        ("class E(Exception): pass\nraise E", "E", None),
        ("def f():\n class E(Exception): pass\n raise E('x')\nf()", "f.<locals>.E: x", None),
        ("raise ValueError('one\\ntwo: 2\\n\\nthree')", "ValueError: one", None),
        ("import json; json.loads('{')", "json.decoder.JSONDecodeError: Expecting property name", None),
        ("raise RuntimeError('x') from ValueError('never raised')", "RuntimeError: x", "ValueError: never raised"),
        (
            "try: 1/0\nexcept Exception as e: raise RuntimeError('x') from e",
            "RuntimeError: x",
            "ZeroDivisionError: division by zero",
        ),
        ("try: 1/0\nexcept Exception: {}['a']", "KeyError: 'a'", "ZeroDivisionError: division by zero"),
        ("try: 1/0\nexcept Exception: raise KeyError('a') from None", "KeyError: 'a'", None),
        (
            """
            try:
                try: 1/0
                except Exception as e: raise OSError("multi\\nline") from e
            except Exception:
                raise RuntimeError("last")
            """,
            "RuntimeError: last",
            "ZeroDivisionError: division by zero",
        ),
        ("class A:\n def __del__(self): 1/0\nA()\nraise ValueError('real')", "ValueError: real", None),
        (
            "import sys, threading\nt = threading.Thread(target=lambda: 1/0)\nt.start(); t.join()\nsys.exit(1)",
            "ZeroDivisionError: division by zero",
            None,
        ),
        (
            "import logging\ntry: 1/0\nexcept Exception: logging.exception('handled')\nraise SystemExit('failed')",
            "ZeroDivisionError: division by zero",
            None,
        ),
        ("import warnings; warnings.warn('old')\nraise SystemExit(1)", None, None),
        ("import faulthandler, os; faulthandler.enable(); os.abort()", "Fatal Python error: Aborted", None),
        pytest.param(
            "e = ValueError('x'); e.add_note('a note'); e.add_note('File: x'); raise e",
            "ValueError: x",
            None,
            marks=groups,
        ),
        pytest.param(
            "raise ExceptionGroup('eg', [ValueError(1), TypeError('x')])",
            "ExceptionGroup: eg (2 sub-exceptions)",
            "ValueError: 1",
            marks=groups,
        ),
        pytest.param(
            """
            try:
                raise ExceptionGroup("eg", [ExceptionGroup("in", [ValueError("1\\n2")]), TypeError("x")])
            except Exception as e:
                try: int("a")
                except Exception as f: raise ExceptionGroup("two", [f, e]) from None
            """,
            "ExceptionGroup: two (2 sub-exceptions)",
            "ValueError: 1",
            marks=groups,
        ),
        pytest.param(
            """
            try:
                try: raise ExceptionGroup("g", [ValueError(1), ExceptionGroup("h", [KeyError("q")])])
                except Exception as e: raise RuntimeError("mid") from e
            except Exception: raise OSError("last\\nline")
            """,
            "OSError: last",
            "ValueError: 1",
            marks=groups,
        ),
        pytest.param(
            """
            try: raise ExceptionGroup("g", [KeyError("q"), ExceptionGroup("h", [OSError()]), ValueError(1)])
            except Exception as e: raise RuntimeError("after") from e
            """,
            "RuntimeError: after",
            "KeyError: 'q'",
            marks=groups,
        ),
        pytest.param(
            """
            try: 1/0
            except Exception as e: raise ExceptionGroup("eg", [e, KeyError("z")]) from KeyError("k")
            """,
            "ExceptionGroup: eg (2 sub-exceptions)",
            "ZeroDivisionError: division by zero",
            marks=groups,
        ),
    ],
)
def test_what_python_prints(source: str, text: str | None, root: str | None) -> None:
    output = printed(source)
    found = first_exception(output.split("\n"))
    if text is None:
        assert found is None
        return
    assert found is not None, output
    assert found.text.startswith(text), output
    assert found.root == root, output
    # Logs around it, and on the same line, change nothing of it.
    noisy = [
        "INFO starting",
        "x: y",
        *output.split("\n"),
        "INFO stopping",
        "Traceback (most recent call last):",
        "  x",
        "Z: z",
    ]
    assert first_exception(noisy) == found


@pytest.mark.parametrize("lost", range(1, 5))
def test_a_traceback_that_has_lost_its_front(lost: int) -> None:
    lines = printed("def f():\n def g(): raise ValueError('x')\n g()\nf()").split("\n")
    assert lines[0].startswith("Traceback")
    assert first_exception(lines[lost:]) == Raised("ValueError: x")


def test_a_chain_that_has_lost_its_front() -> None:
    lines = printed("try: 1/0\nexcept Exception as e: raise RuntimeError('x') from e").split("\n")
    link = lines.index("The above exception was the direct cause of the following exception:")
    assert first_exception(lines[link - 2 :]) == Raised("RuntimeError: x", "ZeroDivisionError: division by zero")
    assert first_exception(lines[link:]) == Raised("RuntimeError: x")


def test_an_ignored_exception_is_better_than_none() -> None:
    assert first_exception(
        printed("class A:\n def __del__(self): 1/0\nA(); import sys; sys.exit(1)").split("\n")
    ) == Raised("ZeroDivisionError: division by zero")


JAVA = """
public class Boom {
  static class Mine extends RuntimeException { Mine(String m, Throwable c) { super(m, c); } }
  public static void main(String[] a) {
    try { try { Integer.parseInt("x"); } catch (Exception e) { throw new IllegalStateException("two\\nlines", e); } }
    catch (Exception e) {
      Mine m = new Mine("no work", e);
      m.addSuppressed(new java.io.IOException("closed", new Error("suppressed")));
      throw m;
    }
  }
}
"""


@pytest.mark.skipif(shutil.which("javac") is None, reason="no JDK is installed")
def test_what_java_prints(tmp_path: Path) -> None:
    (tmp_path / "Boom.java").write_text(JAVA, encoding="utf-8")
    env = {**os.environ, "LC_ALL": "C"}
    run = subprocess.run(["java", "Boom.java"], cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    found = first_exception(run.stderr.split("\n"))
    assert found == Raised("Boom$Mine: no work", 'java.lang.NumberFormatException: For input string: "x"'), run.stderr
    run = subprocess.run(["java", "NoSuch"], cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    found = first_exception(run.stderr.split("\n"))
    assert found is not None
    assert found.text == "Error: Could not find or load main class NoSuch"
    assert found.root == "java.lang.ClassNotFoundException: NoSuch"


SPARK_TASK = """\
26/11/22 07:43:40 WARN NativeCodeLoader: Unable to load native-hadoop library for your platform
[Stage 0:>         (0 + 1) / 1]26/11/22 07:43:46 ERROR Executor: Exception in task 0.0 in stage 0.0 (TID 0)
org.apache.spark.api.python.PythonException: [PYTHON_EXCEPTION] From the worker: Traceback (most recent call last):
  File "/x/pyspark.zip/pyspark/worker.py", line 4327, in invoke_udf
    run_process()
  File "/x/job.py", line 5, in <lambda>
    rdd.map(lambda x: 1/0).collect()
                      ~^~
ZeroDivisionError: division by zero
 SQLSTATE: 38000
	at org.apache.spark.api.python.BasePythonRunner$ReaderIterator.handlePythonException(PythonRunner.scala:1097)
	at org.apache.spark.api.python.PythonRunner$$anon$5.read(PythonRunner.scala:1642)
	at java.base/java.lang.Thread.run(Thread.java:840)
26/11/22 07:43:46 WARN TaskSetManager: Lost task 0.0 in stage 0.0 (TID 0) (h executor driver): java.lang.Error: other
	at a.B.c(D.java:1)
"""

SPARK_DRIVER = """\
Traceback (most recent call last):
  File "/x/job.py", line 5, in <module>
    rdd.map(lambda x: 1/0).collect()
  File "/x/py4j/java_gateway.py", line 1362, in __call__
    return_value = get_return_value(
                   ^^^^^^^^^^^^^^^^^
  File "/x/pyspark/errors/exceptions/captured.py", line 262, in deco
    raise converted from None
  File "/x/job.py", line 5, in <lambda>
    rdd.map(lambda x: 1/0).collect()
          ^^^^^^^^^^^^^^^^^
pyspark.errors.exceptions.captured.PythonException: An exception was thrown from the Python worker:
Traceback (most recent call last):
  File "/x/job.py", line 5, in <lambda>
    rdd.map(lambda x: 1/0).collect()
                      ~^~
ZeroDivisionError: division by zero

"""

PY4J = """\
Traceback (most recent call last):
  File "/x/job.py", line 14, in <module>
    {}["a"]
    ~~^^^^^
KeyError: 'a'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/x/py4j/protocol.py", line 327, in get_return_value
    raise Py4JJavaError(
py4j.protocol.Py4JJavaError: An error occurred while calling o42.collect.
: org.apache.spark.SparkException: Job aborted due to stage failure: Task 0 in stage 0.0 failed 1 times
	at org.apache.spark.scheduler.DAGScheduler.failJobAndIndependentStages(DAGScheduler.scala:2856)
	at java.base/java.lang.Thread.run(Thread.java:840)

Driver stacktrace:
	at org.apache.spark.scheduler.DAGScheduler.runJob(DAGScheduler.scala:1009)
	at java.base/java.lang.Thread.run(Thread.java:840)
Caused by: org.apache.spark.SparkException: Task failed
	at org.apache.spark.executor.Executor$TaskRunner.run(Executor.scala:906)
	... 1 more
Caused by: java.nio.file.NoSuchFileException: /nowhere
	at java.base/sun.nio.fs.UnixException.translateToIOException(UnixException.java:92)
	... 3 more

"""

NAME = "org.apache.spark.SparkException"
TASK = "org.apache.spark.api.python.PythonException: [PYTHON_EXCEPTION] From the worker"
CALL = "py4j.protocol.Py4JJavaError: An error occurred while calling o42.collect."
EOF = "java.io.EOFException"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            SPARK_TASK,
            (
                TASK,
                "ZeroDivisionError: division by zero",
            ),
        ),
        (SPARK_TASK.partition("SQLSTATE: 38000\n")[2].partition("INFO")[0], ("java.lang.Error: other", None)),
        (
            SPARK_DRIVER,
            (
                "pyspark.errors.exceptions.captured.PythonException: An exception was thrown from the Python worker",
                "ZeroDivisionError: division by zero",
            ),
        ),
        (
            PY4J,
            (
                CALL,
                "java.nio.file.NoSuchFileException: /nowhere",
            ),
        ),
        (
            SPARK_TASK.replace("(Thread.java:840)\n", "(Thread.java:840)\nCaused by: java.io.EOFException\n"),
            (TASK, EOF),
        ),
        (
            PY4J + PY4J.partition("occurred:\n\n")[2].replace("/nowhere", "/later"),
            (CALL, "java.nio.file.NoSuchFileException: /nowhere"),
        ),
        (
            PY4J.rstrip() + "\n\n" + PY4J[PY4J.index("During") :].replace("/nowhere", "/later"),
            (CALL, "java.nio.file.NoSuchFileException: /later"),
        ),
        (
            f"{NAME}: one\ntwo\n\nthree: 3\nfour\n\tat a.B.c(D.java:1)\n",
            (f"{NAME}: one", None),
        ),
        (  # its front lost
            PY4J.partition("Driver stack")[2],
            (f"{NAME}: Task failed", "java.nio.file.NoSuchFileException: /nowhere"),
        ),
        (
            f"""\
            22:00 ERROR SparkContext: Error initializing SparkContext.
            {NAME}: A master URL must be set
            \tat org.apache.spark.SparkContext.<init>(SparkContext.scala:421)
            Exception in thread "main" java.lang.Error: later
            \tat a.B.c(D.java:1)
            Caused by: a.Late: not this one
            """,
            (f"{NAME}: A master URL must be set", None),
        ),
        (
            f"""\
            Exception in thread "main" {NAME}: several

            lines: of
            a message
            \tat a.B.c(D.java:1)
            \tSuppressed: x.Y: no
            \t\tat a.B.c(D.java:1)
            \tCaused by: x.Z: neither
            Caused by: a.B$C
            \tat a.B.c(D.java:1)
            \t... 7 more
            """,
            (f"{NAME}: several", "a.B$C"),
        ),
        (
            f'Exception in thread "main" {NAME}: finished with failed status',
            (f"{NAME}: finished with failed status", None),
        ),
        (
            """\
            Exception in thread "main" java.lang.OutOfMemoryError: Java heap space
            INFO ShutdownHookManager: Shutdown hook called
            """,
            ("java.lang.OutOfMemoryError: Java heap space", None),
        ),
        (
            """\
            java.net.BindException: Address in use: Service 'SparkUI' could not bind on port 4040
            22:00 INFO going on
            java.io.IOException: disk
            \tat a.B.c(D.java:1)
            """,
            ("java.io.IOException: disk", None),
        ),
        (
            """\
            Traceback (most recent call last):
              File "/x/job.py", line 9, in <module>
                ray.get(f.remote())
            ray.exceptions.RayTaskError(ZeroDivisionError): ray::f() (pid=4711, ip=192.0.2.7)
              File "/x/job.py", line 6, in f
                return 1 / 0
                       ~~^~~
            ZeroDivisionError: division by zero
            """,
            (
                "ray.exceptions.RayTaskError(ZeroDivisionError): ray::f() (pid=4711, ip=192.0.2.7)",
                "ZeroDivisionError: division by zero",
            ),
        ),
        (
            """\
            (f pid=4711, ip=192.0.2.7) Traceback (most recent call last):
            (f pid=4711, ip=192.0.2.7)   File "job.py", line 5, in g
            (f pid=4711, ip=192.0.2.7) KeyError: 'a'
            """,
            ("KeyError: 'a'", None),
        ),
        (
            """\
            [2026-11-22 07:00] ERROR - Traceback (most recent call last):
            [2026-11-22 07:00] ERROR -   File "job.py", line 5, in g
            [2026-11-22 07:00] ERROR - ValueError: prefixed
            """,
            ("ValueError: prefixed", None),
        ),
        (
            """\
            pyspark.errors.exceptions.captured.IllegalArgumentException: bad

            JVM stacktrace:
            java.lang.IllegalArgumentException: bad
            \tat a.B.c(D.java:1)
            """,
            ("java.lang.IllegalArgumentException: bad", None),
        ),
        (
            """\
            Traceback (most recent call last):
              File "job.py", line 5, in g
            pyspark.errors.exceptions.captured.AnalysisException: bad

            JVM stacktrace:
            org.apache.spark.sql.AnalysisException: bad
            \tat a.B.c(D.java:1)
            Caused by: java.io.IOException: disk
            """,
            ("pyspark.errors.exceptions.captured.AnalysisException: bad", "java.io.IOException: disk"),
        ),
        (
            """\
            ---------------------------------------------------------------------------
            ZeroDivisionError                         Traceback (most recent call last)
            Cell In[1], line 1
            ----> 1 1/0

            ZeroDivisionError: division by zero
            """,
            ("ZeroDivisionError: division by zero", None),
        ),
        ('Traceback (most recent call last):\n  File "x", line 1, in f', None),
        ("Traceback (most recent call last):\n", None),
        ("INFO x\nError: no input\nValueError: later", ("Error: no input", None)),
        ("all went well\n  at least (nearly) so\n", None),
        ("", None),
    ],
)
def test_texts(text: str, found: tuple[str, str | None] | None) -> None:
    assert first(text) == found


PIECES = [
    "Traceback (most recent call last):",
    "  + Exception Group Traceback (most recent call last):",
    "  | ExceptionGroup: x (1 sub-exception)",
    "  +-+---------------- 1 ----------------",
    "    +---------------- 2 ----------------",
    "    +------------------------------------",
    "    | ValueError: 1",
    '  File "x", line 1, in f',
    "    source",
    "ValueError: x",
    "The above exception was the direct cause of the following exception:",
    "During handling of the above exception, another exception occurred:",
    "Exception ignored in: x",
    "",
    "\tat a.B.c(D.java:1)",
    "Caused by: a.B: x",
    "Caused by: a.PythonException: Traceback (most recent call last):",
    "a.b.CError: x",
    "a.b.CError: x: Traceback (most recent call last):",
    ": a.b.CError: x",
    "PythonException: x",
    "JVM stacktrace:",
    "Driver stacktrace:",
    'Exception in thread "main" a.B',
    "(f pid=1) ",
    "text",
]


@given(st.lists(st.sampled_from(PIECES), max_size=40))
def test_any_order_of_any_lines(lines: list[str]) -> None:
    found = first_exception(lines)
    if found is not None:
        assert found.text
        assert found.root is None or found.root
        assert found.text != found.root


@pytest.mark.requirement("fault-39")
@pytest.mark.timeout(60)
@pytest.mark.parametrize("unit", [*PIECES, "  +-+---------------- 1 ----------------\n  | ExceptionGroup: x"])
def test_nasty_text_takes_linear_time_and_no_stack(unit: str) -> None:
    first_exception((unit + "\n").join([""] * 10_000).split("\n"))
    varied = [f"  {number} {unit}" if number % 2 else unit for number in range(10_000)]
    first_exception(varied)


@pytest.mark.requirement("fault-39")
@pytest.mark.parametrize(
    "level",
    [
        ["Traceback (most recent call last):", '  File "x", line 1', "PythonException: x"],
        [
            "  + Exception Group Traceback (most recent call last):",
            "  | G: x",
            "  +-+---------------- 1 ----------------",
        ],
        ["a.b.CError: Traceback (most recent call last):", '  File "x", line 1', "PythonException: x"],
    ],
)
def test_a_bomb_of_traces_in_traces(level: list[str]) -> None:
    found = first_exception(level * 5000)
    assert found is not None
    assert found.text in {"PythonException: x", "G: x", "a.b.CError"}
