"""What counts as work between two looks at a JVM."""

from __future__ import annotations

from dataclasses import replace

import pytest

from raydp_wrap_spark.jvm_threads import Main, Thread, Threads
from raydp_wrap_spark.launcher_protocol.progress import Look, progressed

PARKED = ("jdk.internal.misc.Unsafe.park(Native Method)", "app.App.run(App.java:5)")
KEEPER = Thread(12, "keeper", native=112, cpu=1.0, elapsed=50.0, state="WAITING", frames=PARKED)
DAEMON = Thread(13, "worker", daemon=True, native=113, cpu=1.0, elapsed=50.0, state="WAITING", frames=PARKED)
COMPILER = Thread(5, "C2 CompilerThread0", daemon=True, native=105, cpu=1.0, state="RUNNABLE")
MAIN = Thread(20, "DestroyJavaVM", native=120, cpu=1.0, state="RUNNABLE")


def look(*threads, at=0.0, calls=7, main=Main.ENDED, stopped_for=10.0):
    return Look(at, Threads(main, (MAIN, *threads)), {thread.native: calls for thread in threads}, stopped_for)


BEFORE = look(KEEPER, DAEMON, COMPILER)


@pytest.mark.requirement("hang-2", "hang-5")
@pytest.mark.parametrize(
    ("after", "expected"),
    [
        pytest.param(look(KEEPER, DAEMON, COMPILER, at=12), False, id="nothing"),
        pytest.param(look(replace(KEEPER, cpu=1.11), DAEMON, at=12), False, id="below 1 %"),
        pytest.param(look(replace(KEEPER, cpu=1.13), DAEMON, at=12), True, id="above 1 %"),
        pytest.param(look(KEEPER, replace(DAEMON, cpu=1.13), at=12), True, id="a daemon, for it"),
        pytest.param(look(KEEPER, replace(COMPILER, cpu=9.0), at=12), False, id="the JVM's own"),
        pytest.param(look(replace(KEEPER, state="RUNNABLE", frames=PARKED[1:]), DAEMON, at=12), True, id="runs"),
        pytest.param(look(replace(KEEPER, frames=PARKED[1:]), DAEMON, at=12), True, id="elsewhere in its code"),
        pytest.param(look(replace(DAEMON, frames=PARKED[1:]), KEEPER, at=12), False, id="a daemon elsewhere"),
        pytest.param(look(replace(KEEPER, number=14), DAEMON, at=12), True, id="another thread"),
        pytest.param(look(KEEPER, replace(KEEPER, number=14), at=12), True, id="one more"),
        pytest.param(look(DAEMON, at=12), True, id="one less"),
        pytest.param(
            look(KEEPER, replace(DAEMON, number=15), COMPILER, at=12, calls=7), True, id="a new daemon at work"
        ),
        pytest.param(look(KEEPER, DAEMON, at=12, calls=8), True, id="it wrote"),
        pytest.param(look(KEEPER, DAEMON, at=12, main=Main.EXITING), True, id="System.exit was called"),
    ],
)
def test_progress(after, expected):
    assert progressed(BEFORE, after) is expected


@pytest.mark.requirement("hang-5")
def test_a_java_that_does_not_say_the_time_is_judged_by_the_rest():
    old = replace(KEEPER, cpu=None)
    assert not progressed(look(old), look(old, at=12))
    assert progressed(look(old), look(old, at=12, calls=8))


@pytest.mark.requirement("hang-5")
def test_a_hooks_daemon_counts_while_the_jvm_exits():
    hook = replace(DAEMON, frames=("org.apache.hadoop.util.ShutdownHookManager$1.run(A.java:1)",))
    moved = replace(hook, frames=("app.App.flush(App.java:1)", *hook.frames))
    before, after = (look(KEEPER, each, main=Main.EXITING, at=at) for each, at in ((hook, 0), (moved, 12)))
    assert not progressed(before, replace(before, at=12))
    assert progressed(before, after)
