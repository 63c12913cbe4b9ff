"""Spark from pip, old and new, and as an unpacked distribution, with all that configures it, on both sides."""

from __future__ import annotations

import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from spark_sides import alike, assert_polite
from spark_table import PRIVATE

ROOT = Path(__file__).parents[4]
OLDER = ROOT / ".venv-raydp" / "bin"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def distribution(tmp_path):
    """Spark as its download unpacks: bin, jars, conf, and Python's part in zips below python/lib."""
    package = Path(find_spec("pyspark").origin).parent
    home = tmp_path / "opt" / "spark dist"
    shutil.copytree(package / "bin", home / "bin")
    (home / "jars").symlink_to(package / "jars")
    (home / "python").mkdir()
    (home / "python" / "lib").symlink_to(package / "python" / "lib")
    (home / "conf").mkdir()
    return home


def python_named(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(Path(sys.executable).resolve())
    return path


def same(pair, argv, env):
    """What the application says of it, which is the same on both sides; and the end, too."""
    runs = pair.start(["--verbose", *argv, *pair.application("python", "exit:0", "x")], env=env)
    stock, ours = (run.told() for run in runs)
    for told in (stock, ours):
        told["env"] = {name: value for name, value in told["env"].items() if name not in PRIVATE}
    for what in ("argv", "env", "python", "path"):
        assert ours[what] == stock[what]
    stock_end, ours_end = (run.ended() for run in runs)
    assert alike("python", ours_end.stdout, stock_end.stdout)
    assert without_names(ours_end.stderr) == without_names(stock_end.stderr)
    assert ours_end.status == stock_end.status == 0
    assert_polite(ours_end)
    return ours


def without_names(text):
    return text.replace("/stock-0/", "/SIDE/").replace("/ours-1/", "/SIDE/")


@pytest.mark.requirement("drop-in-7")
def test_a_distribution_on_path_with_its_conf_directory(pair, distribution, tmp_path):
    link = tmp_path / "spark"
    link.symlink_to(distribution)
    python = python_named(tmp_path / "pythons" / "python-of-defaults")
    (link / "conf" / "spark-defaults.conf").write_text(
        f"spark.pyspark.driver.python  {python}\nspark.some.name=a b\nspark.driver.memory\t600m\n"
    )
    (link / "conf" / "spark-env.sh").write_text('HADOOP_CONF_DIR="$SPARK_HOME/hadoop conf"\nexport MORE=1\n')
    pair.stock = link / "bin" / "spark-submit"
    seen = same(pair, [], {"PATH": f"{link}/bin:{os.environ['PATH']}"})
    assert seen["env"]["SPARK_HOME"] == str(link)
    assert seen["env"]["HADOOP_CONF_DIR"] == f"{link}/hadoop conf"
    assert seen["python"] == str(python)
    assert any(path.endswith("pyspark.zip") for path in seen["path"])


@pytest.mark.requirement("drop-in-7")
def test_a_distribution_by_spark_home_with_everything_elsewhere(pair, distribution, tmp_path):
    java = Path(shutil.which("java")).resolve().parents[1]
    (tmp_path / "my java").symlink_to(java)
    driver, workers = (python_named(tmp_path / name / "python") for name in ("driver's", "workers"))
    conf = tmp_path / "conf"
    conf.mkdir()
    (conf / "spark-defaults.conf").write_text("spark.from.defaults=1\nspark.app.name=theirs\n")
    (conf / "spark-env.sh").write_text("export FROM_CONF_DIR=1\n")
    (tmp_path / "my.properties").write_text("spark.from.file: 2\nspark.app.name=mine\n")
    (distribution / "conf" / "spark-env.sh").write_text("export NOT_READ=1\n")
    env = {
        "SPARK_HOME": str(distribution),
        "SPARK_CONF_DIR": str(conf),
        "JAVA_HOME": str(tmp_path / "my java"),
        "PYSPARK_PYTHON": str(workers),
        "PYSPARK_DRIVER_PYTHON": str(driver),
        "HADOOP_CONF_DIR": str(tmp_path),
        "YARN_CONF_DIR": str(tmp_path),
    }
    pair.stock = distribution / "bin" / "spark-submit"
    seen = same(pair, ["--properties-file", str(tmp_path / "my.properties"), "--load-spark-defaults"], env)
    assert seen["python"] == str(driver)
    assert seen["env"]["FROM_CONF_DIR"] == "1"
    assert "NOT_READ" not in seen["env"]
    assert {name: seen["env"][name] for name in env} == env


@pytest.mark.requirement("drop-in-7")
@pytest.mark.skipif(not (OLDER / "spark-submit").exists(), reason="needs pyspark 3.5: make .venv-raydp/raydp.stamp")
def test_an_older_spark_from_pip(pair):
    pair.stock = OLDER / "spark-submit"
    seen = same(pair, ["--name", "a b"], {"PATH": f"{OLDER}:{os.environ['PATH']}"})
    assert seen["env"]["SPARK_HOME"].startswith(str(ROOT / ".venv-raydp"))
    assert Path(seen["python"]) == OLDER / "python3"
