from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from spark_sides import Pair  # found by the line above

BIN = Path(sys.executable).parent


@pytest.fixture(scope="session")
def classes(tmp_path_factory):
    """The Java application, compiled."""
    if not (BIN / "spark-submit").exists():
        pytest.skip("needs pyspark in this environment")
    if shutil.which("javac") is None or shutil.which("jar") is None:
        pytest.skip("needs a JDK: javac and jar")
    where = tmp_path_factory.mktemp("classes")
    sources = (Path(__file__).parents[1] / "programs" / "java").glob("*.java")
    subprocess.run(["javac", "-d", where, *sources], check=True)
    subprocess.run(["jar", "--create", "--file", where / "app.jar", "-C", where, "."], check=True)
    return where / "app.jar"


@pytest.fixture(scope="session")
def shims(tmp_path_factory):
    from raydp_wrap_spark.shim import install  # noqa: PLC0415 - only where there is a Spark

    where = tmp_path_factory.mktemp("shims")
    install(where)
    return where


@pytest.fixture
def pair(tmp_path, classes, shims):
    """The stock spark-submit and ours, each in a directory of its own, with nothing of Spark's in the environment."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SPARK_", "PYSPARK_"))}
    env = {**kept, "PATH": f"{BIN}:{kept['PATH']}", "SPARK_LOCAL_IP": "127.0.0.1", "HOME": str(tmp_path)}
    # No run is to be slowed, or sped up, by what another one left to be made.
    env |= {"RAYDP_WRAP_HOME": str(tmp_path / "home"), "RAYDP_WRAP_JVM_CACHE": "off"}
    with Pair(tmp_path, env, stock=BIN / "spark-submit", ours=shims / "spark-submit", jar=classes) as made:
        yield made


@pytest.fixture
def memory_limit():
    """Make a cgroup with so many bytes of memory."""
    made = []

    def make(limit):
        own = Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines()
        v1 = Path("/sys/fs/cgroup/memory")
        v2 = Path("/sys/fs/cgroup", next((line[3:].strip("/") for line in own if line.startswith("0::")), ""))
        for parent, name in ((v1, "memory.limit_in_bytes"), (v2, "memory.max")):
            where = parent / f"raydp-wrap-test-{os.getpid()}"
            with contextlib.suppress(OSError):
                where.mkdir()
                made.append(where)
                (where / name).write_text(str(limit))
                return where
        return pytest.skip("there is no cgroup to limit memory in")

    yield make
    for where in made:
        where.rmdir()
