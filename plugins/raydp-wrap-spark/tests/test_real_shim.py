"""Shims in front of real Spark, and programs that start Spark's JVM in the way PySpark does."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest

from raydp_wrap_spark.shim import install, install_home

ROOT = Path(__file__).parents[3]
BIN = Path(sys.executable).parent
WORD_COUNT = ROOT / "examples" / "word_count.py"
TEXT = ROOT / "examples" / "data" / "lighthouse.txt"

# Starts a JVM of its own though it was submitted: by $SPARK_HOME/bin/spark-submit, as pyspark does.
NESTED = """\
import os, sys
for name in [name for name in os.environ if name.startswith("PYSPARK_GATEWAY")]:
    del os.environ[name]
import pyspark.java_gateway
gateway = pyspark.java_gateway.launch_gateway()
print("answers", gateway.jvm.java.lang.Math.max(3, 4), os.environ["SPARK_HOME"])
gateway.shutdown()
gateway.proc.stdin.close()
gateway.proc.wait()
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not (BIN / "spark-submit").exists(), reason="needs pyspark in this environment"),
]


@pytest.fixture
def env(tmp_path):
    install(tmp_path / "my shims")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SPARK_", "PYSPARK_"))}
    return {
        **kept,
        "PATH": f"{tmp_path / 'my shims'}:{BIN}:{kept['PATH']}",
        "SPARK_LOCAL_IP": "127.0.0.1",
        "RAYDP_WRAP_HOME": str(tmp_path / "home"),
        "RAYDP_WRAP_JVM_CACHE": "off",
    }


def run(argv, env):
    return subprocess.run(["env", *argv], env=env, capture_output=True, text=True, check=False)


@pytest.mark.requirement("shim-1")
def test_word_count_through_a_shim(env):
    done = run(["spark-submit", "--master", "local[2]", WORD_COUNT, TEXT, "5"], env)
    assert done.returncode == 0, done.stderr[-3000:]
    words = re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)*", TEXT.read_text(encoding="utf-8").lower())
    expected = sorted(Counter(words).items(), key=lambda pair: (-pair[1], pair[0]))[:5]
    assert [tuple(line.split()[:2]) for line in done.stdout.splitlines()[:5]] == [(w, str(n)) for w, n in expected]
    assert "raydp-wrap" not in done.stderr


@pytest.mark.requirement("shim-4", "shim-5")
@pytest.mark.parametrize("home", ["the package", "an overlay"])
def test_pyspark_below_a_shim_starts_one_jvm(env, tmp_path, home):
    real = Path(find_spec("pyspark").origin).parent
    expected = real
    if home == "an overlay":
        expected = tmp_path / "over lay"
        install_home(expected, real)
        env["SPARK_HOME"] = str(expected)
    (tmp_path / "app.py").write_text(NESTED)
    done = run(["spark-submit", tmp_path / "app.py"], env)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1] == f"answers 4 {expected}"


@pytest.mark.requirement("airflow-4")
def test_livy_reads_the_version(env):
    """Its server takes the first line that fits, of both streams."""
    done = run(["spark-submit", "--version"], env)
    assert done.returncode == 0
    found = re.search(r"version (.*)", done.stdout + done.stderr)
    assert found
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", found[1])
    assert re.search(r"Scala version (.*?),", done.stdout + done.stderr)
