"""The Python process that a JVM made its driver."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys

import pytest

from raydp_wrap_spark.launcher_protocol.python_driver import find_driver_of

# A parent with two children; the second is its driver, which says when it is there: right after its exec, its
# environment can't be seen for a moment. The parent says when both are reaped.
PARENT = """
import os, subprocess, sys
other = subprocess.Popen(["sleep", "1000"])
env = {**os.environ, "PYSPARK_GATEWAY_PORT": "1"}
driver = subprocess.Popen(["sh", "-c", "echo up; read line; " + sys.argv[1]], stdin=0, env=env)
driver.wait()
other.kill()
other.wait()
print("reaped", flush=True)
"""


def parent(ending):
    return subprocess.Popen([sys.executable, "-c", PARENT, ending], stdin=subprocess.PIPE, stdout=subprocess.PIPE)


@pytest.mark.requirement("hang-1")
@pytest.mark.parametrize(("ending", "code"), [("exit 0", 0), ("exit 3", 3), ("kill -KILL $$", 128 + signal.SIGKILL)])
def test_it_is_found_and_its_code_is_known_where_the_kernel_keeps_it(ending, code):
    with parent(ending) as process:
        assert process.stdout.readline() == b"up\n"
        driver = find_driver_of(process.pid)
        try:
            assert not select.select([driver], [], [], 0)[0]
            process.stdin.close()
            assert select.select([driver], [], [], 10)[0]
            assert process.stdout.readline() == b"reaped\n"
            kept = tuple(map(int, os.uname().release.split(".")[:2])) >= (6, 15)
            assert driver.exit_code() == (code if kept else None)
        finally:
            driver.close()


def test_a_jvm_without_one_has_none():
    with subprocess.Popen(["sleep", "1000"]) as process:
        assert find_driver_of(os.getpid()) is None
        assert find_driver_of(process.pid) is None
        process.kill()
    assert find_driver_of(process.pid) is None


@pytest.mark.requirement("hang-4")
def test_a_variable_that_the_jvm_has_itself_is_no_sign():
    """A PySpark program that starts a Java application hands its own gateway down."""
    env = {**os.environ, "PYSPARK_GATEWAY_PORT": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, "exit 0"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env
    ) as process:
        assert process.stdout.readline() == b"up\n"
        assert find_driver_of(process.pid) is None
        process.stdin.close()
        process.stdout.read()
    env["PYSPARK_GATEWAY_PORT"] = "2"
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, "exit 0"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env
    ) as process:
        assert process.stdout.readline() == b"up\n"
        driver = find_driver_of(process.pid)
        assert driver is not None
        driver.close()
        process.stdin.close()
        process.stdout.read()
