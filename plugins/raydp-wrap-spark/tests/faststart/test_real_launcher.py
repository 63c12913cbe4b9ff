"""The kept answers against Spark's own launcher, and what the launcher reads against what the key holds."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raydp_wrap_spark.environment import spark_environment
from raydp_wrap_spark.faststart.answers import VARIABLES
from raydp_wrap_spark.java import find_java
from raydp_wrap_spark.launcher import build_command

SPEC = importlib.util.find_spec("pyspark")
pytestmark = pytest.mark.skipif(SPEC is None, reason="needs pyspark in this environment")

# Constants of the launcher that look like a variable's name: states, a file, and variables for others or elsewhere.
NO_VARIABLES = {
    *("CONNECTED", "FAILED", "FINISHED", "KILLED", "LOST", "RUNNING", "SUBMITTED", "UNKNOWN", "RELEASE"),
    *("_SPARK_LAUNCHER_PORT", "_SPARK_LAUNCHER_SECRET", "SPARK_EXECUTOR_CLASSPATH"),
    *("DYLD_LIBRARY_PATH", "PATH"),
}
_NAME = re.compile(r"_?[A-Z][A-Z0-9]*(_[A-Z0-9]+)*")


def strings(data):
    """The string constants of a class file, as ``ldc`` can load them."""
    at, count = 10, int.from_bytes(data[8:10], "big")
    texts, wanted, index = {}, set(), 1
    while index < count:
        tag = data[at]
        if tag == 1:
            size = int.from_bytes(data[at + 1 : at + 3], "big")
            texts[index] = data[at + 3 : at + 3 + size].decode("utf-8", "replace")
            at += 3 + size
        else:
            if tag == 8:
                wanted.add(int.from_bytes(data[at + 1 : at + 3], "big"))
            at += {3: 5, 4: 5, 5: 9, 6: 9, 15: 4}.get(tag, 3 if tag in (7, 8, 16, 19, 20) else 5)
            index += tag in (5, 6)
        index += 1
    return {texts[number] for number in wanted}


@pytest.mark.requirement("start-answers")
def test_the_key_holds_every_variable_that_the_launcher_names():
    (jar,) = Path(SPEC.origin).parent.glob("jars/spark-launcher_*.jar")
    found = set()
    with zipfile.ZipFile(jar) as archive:
        for name in archive.namelist():
            if name.endswith(".class"):
                found |= {text for text in strings(archive.read(name)) if _NAME.fullmatch(text) and len(text) > 1}
    assert {"SPARK_HOME", "JAVA_HOME", "SPARK_REMOTE", "SPARK_CONNECT_MODE"} <= found  # they can be seen
    assert found - {*VARIABLES} - NO_VARIABLES == set()


WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=12)
VALUES = st.sampled_from(["a", "a b", "x=y", "", "spark.a=b", "ü", "$HOME", '"q"', "/some/path", "local[2]"])
OPTIONS = st.one_of(
    st.tuples(
        st.sampled_from(["--name", "--jars", "--files", "--py-files", "--queue", "--archives", "--class"]), VALUES
    ),
    st.tuples(
        st.just("--conf"), st.sampled_from(["spark.a=b", "spark.driver.memory=2g", "spark.app.name=x y", "a=b=c"])
    ),
    st.tuples(st.sampled_from(["--conf=spark.a=b", "--name=x", "--master=local", "--verbose", "--driver-memory=3g"])),
    st.tuples(st.just("--driver-java-options"), st.sampled_from(["-Da=b", "-Da=b -Dc='d e'", "-XX:+UseSerialGC"])),
    st.tuples(st.just("--driver-class-path"), st.sampled_from(["/a.jar", "/a.jar:/b.jar"])),
    st.tuples(st.just("--deploy-mode"), st.sampled_from(["client", "cluster"])),
)
LINES = st.lists(OPTIONS, max_size=3).map(lambda found: [word for option in found for word in option])
TAILS = st.tuples(st.sampled_from(["app.py", "/a b/app.jar", "x.R", "ü.py"]), st.lists(WORDS | VALUES, max_size=3))


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.requirement("start-answers")
def test_a_kept_answer_is_what_the_launcher_says(tmp_path):
    tmp_path.chmod(0o700)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SPARK_", "PYSPARK_"))}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {**kept, "PATH": path, "XDG_CACHE_HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}
    seen = 0

    @settings(max_examples=25, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(LINES, TAILS, TAILS)
    def same(options, first, second):
        nonlocal seen
        argvs = [[*options, application, *arguments] for application, arguments in (first, second)]
        full = spark_environment(argvs[0], env)
        java = find_java(full)
        build_command(java, argvs[0], full, reuse=True)
        before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("raydp-wrap/answers/*")}
        again = build_command(java, argvs[1], full, reuse=True)
        seen += any(path.stat().st_mtime_ns != before.get(path) for path in before)
        assert again == build_command(java, argvs[1], full)

    same()
    assert seen > 10  # most were answered from what was kept
