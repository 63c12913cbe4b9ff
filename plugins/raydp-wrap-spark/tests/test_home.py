from __future__ import annotations

import os
import sys

import pytest

from raydp_wrap_spark import home
from raydp_wrap_spark.errors import SparkNotFoundError
from raydp_wrap_spark.home import find_spark_home


@pytest.fixture
def python_with(executable, tmp_path):
    """Make a Python that finds pyspark in PACKAGES only, and is not the running one."""

    def make(packages, name="python3"):
        return executable(
            tmp_path / "bin" / name,
            f'#!/bin/sh\necho "a sitecustomize speaks"\nPYTHONPATH="{packages}" exec {sys.executable} -S "$@"\n',
        )

    return make


@pytest.fixture
def no_pyspark_here(monkeypatch):
    monkeypatch.setattr(home, "_own_pyspark", lambda: None)


@pytest.fixture
def package(tmp_path, make_spark):
    """A pyspark package with Spark inside, as pip installs it."""
    where = make_spark(tmp_path / "site" / "pyspark")
    (where / "__init__.py").touch()
    return where


def test_spark_home_that_is_set_is_taken(spark):
    assert find_spark_home({"SPARK_HOME": str(spark), "PYSPARK_PYTHON": "/nonexistent"}) == {}


def test_wrong_spark_home_is_one_sentence_and_127(tmp_path):
    with pytest.raises(SparkNotFoundError, match=r"SPARK_HOME is .*no-such.*pip install") as caught:
        find_spark_home({"SPARK_HOME": str(tmp_path / "no-such")})
    assert caught.value.exit_code == 127
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("no_pyspark_here")
def test_empty_spark_home_counts_as_unset(package, python_with):
    python = python_with(package.parent)
    assert find_spark_home({"SPARK_HOME": "", "PATH": str(python.parent)}) == {"SPARK_HOME": str(package)}


@pytest.mark.parametrize("variable", ["PYSPARK_DRIVER_PYTHON", "PYSPARK_PYTHON"])
@pytest.mark.usefixtures("no_pyspark_here")
def test_the_python_the_user_named_is_asked(package, variable, python_with):
    python = python_with(package.parent, "my-python")
    assert find_spark_home({variable: str(python), "PATH": ""}) == {"SPARK_HOME": str(package)}


@pytest.mark.usefixtures("no_pyspark_here")
def test_the_drivers_python_goes_first(package, python_with):
    python = python_with(package.parent, "my-python")
    env = {"PYSPARK_DRIVER_PYTHON": f"{python} -B", "PYSPARK_PYTHON": "/nonexistent", "PATH": ""}
    assert find_spark_home(env) == {"SPARK_HOME": str(package)}


@pytest.mark.usefixtures("no_pyspark_here")
def test_a_downloaded_distribution_goes_before_the_package(package, make_spark, python_with):
    downloaded = make_spark(package / "spark-distribution")
    python = python_with(package.parent)
    assert find_spark_home({"PATH": str(python.parent)}) == {"SPARK_HOME": str(downloaded)}


@pytest.mark.usefixtures("no_pyspark_here")
def test_an_editable_install_is_its_source_tree(tmp_path, make_spark, python_with):
    source = make_spark(tmp_path / "source")
    (source / "python" / "pyspark").mkdir(parents=True)
    (source / "python" / "pyspark" / "__init__.py").touch()
    python = python_with(source / "python")
    assert find_spark_home({"PATH": str(python.parent)}) == {"SPARK_HOME": str(source)}


@pytest.mark.usefixtures("no_pyspark_here")
def test_a_directory_named_pyspark_here_is_not_the_package(tmp_path, package, monkeypatch, python_with):
    python = python_with(tmp_path / "empty")
    monkeypatch.chdir(package.parent)
    with pytest.raises(SparkNotFoundError):
        find_spark_home({"PATH": str(python.parent)})


@pytest.mark.parametrize("body", ["#!/bin/sh\nexit 1\n", "#!/no/such/interpreter\n", "#!/bin/sh\necho nonsense\n"])
@pytest.mark.usefixtures("no_pyspark_here")
def test_a_broken_python_is_no_python(tmp_path, body, executable):
    python = executable(tmp_path / "bin" / "python3", body)
    with pytest.raises(SparkNotFoundError, match=r'pip install "raydp-wrap-spark\[pyspark\]"') as caught:
        find_spark_home({"PATH": str(python.parent)})
    assert caught.value.exit_code == 127


def test_the_running_python_is_not_started(package, monkeypatch):
    monkeypatch.setattr(home, "_own_pyspark", lambda: str(package / "__init__.py"))
    monkeypatch.setattr(home, "origins_in", None)
    assert find_spark_home({"PYSPARK_PYTHON": sys.executable, "PATH": ""}) == {"SPARK_HOME": str(package)}


def test_the_running_python_is_found_as_a_package_of_its_own(monkeypatch, package):
    monkeypatch.syspath_prepend(str(package.parent))
    assert home._own_pyspark() == str(package / "__init__.py")


def test_our_own_pyspark_comes_last_and_brings_its_python(package, monkeypatch):
    monkeypatch.setattr(home, "_own_pyspark", lambda: str(package / "__init__.py"))
    ours = {"SPARK_HOME": str(package), "PYSPARK_PYTHON": sys.executable}
    assert find_spark_home({"PATH": ""}) == ours
    assert find_spark_home({"PATH": "", "PYSPARK_PYTHON": "./unpacked/bin/python"}) == {"SPARK_HOME": str(package)}


def test_a_distribution_on_path_is_the_spark_whose_submit_it_is(spark, tmp_path):
    assert find_spark_home({"PATH": f":/nonexistent:{spark}/bin"}) == {"SPARK_HOME": str(spark)}
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "spark-submit").symlink_to(spark / "bin" / "spark-submit")
    assert find_spark_home({"PATH": str(tmp_path / "links")}) == {"SPARK_HOME": str(spark)}


@pytest.mark.requirement("drop-in-7")
def test_a_distribution_keeps_the_name_it_is_called_by(spark, tmp_path, monkeypatch):
    (tmp_path / "spark").symlink_to(spark)
    assert find_spark_home({"PATH": f"{tmp_path}/spark/bin/"}) == {"SPARK_HOME": f"{tmp_path}/spark"}
    monkeypatch.chdir(tmp_path / "spark" / "bin")
    assert find_spark_home({"PATH": "."}) == {"SPARK_HOME": str(spark)}


def test_a_shim_on_path_is_looked_through(spark, tmp_path, executable):
    shim = executable(tmp_path / "shims" / "spark-submit", "#!/bin/sh\n")
    assert find_spark_home({"PATH": f"{shim.parent}{os.pathsep}{spark}/bin"}) == {"SPARK_HOME": str(spark)}


@pytest.mark.usefixtures("no_pyspark_here")
def test_pips_spark_submit_on_path_asks_python_even_before_a_distribution(spark, package, python_with, executable):
    python = python_with(package.parent)
    executable(python.parent / "spark-submit", "#!/bin/sh\n")
    (python.parent / "find_spark_home.py").touch()
    assert find_spark_home({"PATH": f"{python.parent}:{spark}/bin"}) == {"SPARK_HOME": str(package)}
