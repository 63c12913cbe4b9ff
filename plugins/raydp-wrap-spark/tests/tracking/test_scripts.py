"""Scripts with a SparkContext that stands in for Spark's: whatever ends one, its outcome is told once, and is true."""

from __future__ import annotations

import signal

import pytest

TRACKED = """
import atexit, os, signal, sys, threading, time
import standing_in; standing_in.install()
import raydp_wrap_spark
from standing_in import SparkSession
spark = SparkSession()
tracked = raydp_wrap_spark.track(spark, sinks=[SINK])
"""


def seen(outcome):
    return outcome["state"], outcome["exit_code"], outcome["reason"]


FINISHED = ("FINISHED", 0, None)
INTERRUPTED = ("KILLED", 130, "StopRequested")
DIED = ("KILLED", None, "OwnerDied")


def failed(code):
    return ("FAILED", code, "AppFailed")


@pytest.mark.requirement("track-2")
@pytest.mark.parametrize(
    "stop",
    ["spark.stop()", "spark.sparkContext.stop()", "with spark: pass"],
)
def test_a_stop_is_the_end_and_is_told_there(script, told, stop):
    done = script(f"{TRACKED}{stop}\nprint(open(SINK.split()[4].rstrip(';')).read())\nraise SystemExit(3)", check=3)
    assert '"FINISHED"' in done.stdout
    outcome = told.one()
    assert seen(outcome) == FINISHED
    assert (outcome["name"], outcome["app_id"]) == ("an app", "local-17")


@pytest.mark.requirement("track-3")
@pytest.mark.parametrize(
    ("text", "status", "expected"),
    [
        ("", 0, FINISHED),
        ("sys.exit()", 0, FINISHED),
        ("sys.exit(3)", 3, failed(3)),
        ("sys.exit('no')", 1, failed(1)),
        ("raise SystemExit(4)", 4, failed(4)),
        ("raise SystemExit", 0, FINISHED),
        ("exit(5)", 5, failed(5)),
        ("try: sys.exit(3)\nexcept SystemExit: pass", 0, FINISHED),
        ("try: sys.exit(3)\nexcept SystemExit: pass\nraise SystemExit(4)", 4, failed(4)),
        ("raise ValueError('oh')", 1, failed(1)),
        ("raise KeyboardInterrupt", None, INTERRUPTED),
        ("t = threading.Thread(target=sys.exit, args=(3,)); t.start(); t.join()", 0, FINISHED),
        ("sys.excepthook = lambda *_: None\nraise ValueError('oh')", 1, failed(1)),
        ("from sys import exit\ndef main():\n  try: exit(6)\n  finally: x = [main]\nmain()", 6, failed(6)),
    ],
)
def test_a_script_that_ends_without_a_stop_is_told_by_its_exit_code(script, told, text, status, expected):
    done = script(TRACKED + text, check=status)
    outcome = told.one()
    assert seen(outcome) == expected
    assert ("ValueError: oh" in outcome["diagnostics"]) == ("oh" in text)
    assert done.stdout == ""


@pytest.mark.requirement("track-3")
@pytest.mark.parametrize(
    ("text", "status", "expected"),
    [
        ("try: raise ValueError('oh')\nfinally: spark.stop()", 1, failed(1)),
        ("try: sys.exit(3)\nfinally: spark.stop()", 3, failed(3)),
        ("try: raise SystemExit(4)\nfinally: spark.stop()", 4, failed(4)),
        ("with spark: raise ValueError('oh')", 1, failed(1)),
        ("try: raise ValueError('oh')\nexcept ValueError: spark.stop()", 0, FINISHED),
        ("try: raise ValueError('oh')\nexcept ValueError:\n  spark.stop()\n  sys.exit(2)", 2, failed(2)),
        ("atexit.register(spark.stop)\nraise ValueError('oh')", 1, failed(1)),
        ("atexit.register(spark.stop)\nsys.exit(7)", 7, failed(7)),
    ],
)
def test_a_stop_on_the_way_out_is_no_success(script, told, text, status, expected):
    script(TRACKED + text, check=status)
    outcome = told.one()
    assert seen(outcome) == expected
    assert ("ValueError: oh" in outcome["diagnostics"]) == (expected == failed(1))


@pytest.mark.requirement("track-4")
@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("os._exit(0)", 0),
        ("os._exit(3)", 3),
        ("os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
    ],
)
def test_a_process_that_dies_is_told_of_from_outside(script, told, text, status):
    script(TRACKED + text, check=status)
    assert seen(told.one()) == DIED


@pytest.mark.requirement("track-5")
def test_the_death_of_the_jvm_is_told_while_the_script_goes_on(script, told):
    script(
        TRACKED
        + """
spark.sparkContext._gateway.proc.kill()
while tracked.outcome is None:
    time.sleep(0.005)
spark.stop()
sys.exit(3)
""",
        check=3,
    )
    outcome = told.one()
    assert seen(outcome) == failed(137)
    assert outcome["diagnostics"] == "the JVM of the SparkContext was killed by SIGKILL while the application ran"


@pytest.mark.requirement("track-6")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pass", FINISHED),
        ("spark.stop()", FINISHED),
        ("spark.stop(); raise ValueError('oh')", failed(1)),
        ("spark.stop(); sys.exit(3)", failed(3)),
        ("raise KeyboardInterrupt", INTERRUPTED),
    ],
)
def test_in_a_with_block_the_block_counts(script, told, text, expected):
    script(f"{TRACKED}with tracked:\n  {text}\nspark.stop()")
    assert seen(told.one()) == expected


@pytest.mark.requirement("track-7")
def test_forked_children_have_no_part_in_it(script, told):
    done = script(
        TRACKED
        + """
for end in (spark.stop, sys.exit, lambda: os._exit(3), tracked._at_exit):
    pid = os.fork()
    if not pid:
        end()
        os._exit(0)
    os.waitpid(pid, 0)
import multiprocessing
child = multiprocessing.get_context("fork").Process(target=sys.exit, args=(4,))
child.start(); child.join()
assert child.exitcode == 4
assert tracked.outcome is None
spark.stop()
"""
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert seen(told.one()) == FINISHED


@pytest.mark.requirement("track-8")
def test_an_error_that_was_got_over_with_another_context_ended_the_first(script, told):
    script(
        TRACKED
        + """
try:
    raise ValueError("oh")
except ValueError:
    spark.stop()
    with raydp_wrap_spark.track(SparkSession(), name="second", sinks=[SINK]):
        pass
""",
        check=0,
    )
    first, second = told.all()
    assert (first["name"], seen(first)) == ("an app", failed(1))
    assert "was stopped because of ValueError: oh" in first["diagnostics"]
    assert (second["name"], seen(second)) == ("second", FINISHED)


@pytest.mark.requirement("track-9")
def test_under_a_raydp_wrap_nothing_is_told_from_within(script, told, tmp_path):
    done = script(
        TRACKED
        + """
assert isinstance(tracked, raydp_wrap_spark.TrackedOutside)
import logging; logging.basicConfig(level="INFO")
assert raydp_wrap_spark.track(spark, sinks=[SINK]) is not tracked
with tracked as same:
    same.bind("x")
    assert same.end(3) is None
print(tracked.submission_id, tracked.outcome, sys.exit)
spark.stop()
""",
        check=0,
        RAYDP_WRAP_ATTEMPT_ID="job-1",
    )
    assert done.stdout == "job-1 None <built-in function exit>\n"
    (line,) = done.stderr.splitlines()
    assert line.endswith("reports it, as job-1: its sinks count.")
    assert told.all() == []
    assert not (tmp_path / "home").exists()
