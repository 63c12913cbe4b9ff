from __future__ import annotations

import os
import queue
import subprocess
import threading

import pytest

from raydp_wrap_spark.tracking.jvm import JvmWatch

pytestmark = pytest.mark.requirement("track-5")


@pytest.mark.parametrize(
    ("end", "code", "text"),
    [
        ("kill -9 $$", 137, "was killed by SIGKILL"),
        ("kill -15 $$", 143, "was killed by SIGTERM"),
        ("exit 3", 3, "exited with 3"),
        ("exit 0", 1, "exited with 0"),
    ],
)
def test_how_it_ended_is_told_and_left_for_its_parent_to_ask(end, code, text):
    found = queue.SimpleQueue()
    with subprocess.Popen(["sh", "-c", f"read x; {end}"], stdin=subprocess.PIPE) as child:
        watch = JvmWatch(child.pid, lambda *death: found.put(death))
        assert watch.death() is None
        child.stdin.close()
        assert found.get(timeout=60) == (code, f"the JVM of the SparkContext {text} while the application ran")
        watch.close()
        assert child.wait() == (code if text.startswith("exited") and code != 1 else 128 - code if code > 128 else 0)


def test_one_that_was_closed_tells_nothing_and_leaves_nothing():
    before = len(os.listdir("/proc/self/fd"))
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:
        watch = JvmWatch(child.pid, lambda *_: pytest.fail("it was closed"))
        watch.close()
        watch.close()
        assert watch.death() is None
        child.stdin.close()
    assert len(os.listdir("/proc/self/fd")) <= before  # an earlier test may have left garbage
    assert "raydp-wrap-jvm" not in {thread.name for thread in threading.enumerate()}


def test_its_own_thread_may_close_it():
    done = threading.Event()
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:

        def died(*_):
            watch.close()
            done.set()

        watch = JvmWatch(child.pid, died)
        child.stdin.close()
        assert done.wait(60)
