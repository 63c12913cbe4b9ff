from __future__ import annotations

import os

import pytest

# A java that does what Spark's launcher does: the command, each word ended by NUL, after a line with one NUL.
FAKE_JAVA = """#!/bin/sh
[ -z "$FAKE_SAYS" ] || printf '%s\\n' "$FAKE_SAYS"
[ -z "$FAKE_EXIT_EARLY" ] || exit "$FAKE_EXIT_EARLY"
printf '\\0\\n'
[ -z "$FAKE_PREFIX" ] || printf '%s\\0' env "$FAKE_PREFIX"
printf '%s\\0' "$0" "$@" | tr '\\377' '?'
exit ${FAKE_EXIT:-0}
"""


@pytest.fixture(autouse=True)
def no_jvm_cache(monkeypatch):
    """No test leaves a maker of start caches behind; those of the cache itself ask for it."""
    monkeypatch.setenv("RAYDP_WRAP_JVM_CACHE", "off")


@pytest.fixture
def executable():
    """Write an executable file, and its directories."""

    def make(path, text):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
        return path

    return make


@pytest.fixture
def make_spark(executable):
    """Make a directory that looks like a Spark."""

    def make(home, *, scala="2.13"):
        executable(home / "bin" / "spark-submit", "#!/bin/sh\n")
        executable(home / "bin" / "spark-class", "#!/bin/sh\n")
        (home / "jars").mkdir()
        (home / "jars" / f"spark-launcher_{scala}-1.0.jar").touch()
        return home

    return make


@pytest.fixture
def spark(tmp_path, make_spark):
    """A directory that looks like a Spark."""
    return make_spark(tmp_path / "my spark")


@pytest.fixture
def java_home(tmp_path, executable):
    """A directory that looks like a Java, whose java prints the command it was given."""
    home = tmp_path / "my java"
    executable(home / "bin" / "java", FAKE_JAVA)
    return home


@pytest.fixture
def env(spark, java_home):
    """An environment that has both, and nothing else of Spark's."""
    return {"PATH": os.environ["PATH"], "SPARK_HOME": str(spark), "JAVA_HOME": str(java_home)}
