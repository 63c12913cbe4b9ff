from __future__ import annotations

import sys

import pytest
from raydp_wrap.errors import UsageError

from raydp_wrap_spark.errors import RaydpNotFoundError
from raydp_wrap_spark.raydp.installation import Installation, check_spark, find_installation, spark_version


def installed(site, **variables):
    return Installation(f"{site}/raydp", f"{site}/ray", f"{site}/raydp/jars/raydp-agent-1.6.5.jar", variables)


@pytest.fixture
def own_packages(site, monkeypatch):
    """The packages are those of this Python, and no Python may be started."""
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setattr("raydp_wrap_spark.raydp.installation.origins_in", lambda *_: {})
    return site


@pytest.mark.requirement("raydp-submit-paths")
def test_one_start_of_the_users_python_finds_all_and_imports_nothing(site, ray_env, starts):
    assert find_installation(ray_env) == installed(site, SPARK_HOME=f"{site}/pyspark")
    assert starts() == 1


@pytest.mark.requirement("raydp-submit-paths")
def test_beside_raydp_no_python_is_started(own_packages):
    found = installed(own_packages, SPARK_HOME=f"{own_packages}/pyspark")
    assert find_installation({"PYSPARK_PYTHON": sys.executable, "PATH": ""}) == found


@pytest.mark.requirement("raydp-submit-paths")
@pytest.mark.parametrize("variable", ["PYSPARK_DRIVER_PYTHON", "PYSPARK_PYTHON"])
def test_the_python_the_user_named_goes_first(make_raydp, tmp_path, starts, variable):
    site = make_raydp(python="my-python")
    env = {variable: f"{tmp_path}/bin/my-python", "PATH": ""}
    assert find_installation(env) == installed(site, SPARK_HOME=f"{site}/pyspark")
    assert starts() == 1


@pytest.mark.requirement("raydp-submit-paths")
def test_where_only_this_python_has_raydp_the_application_gets_it(own_packages):
    spark = f"{own_packages}/pyspark"
    assert find_installation({"PATH": ""}) == installed(own_packages, SPARK_HOME=spark, PYSPARK_PYTHON=sys.executable)
    assert find_installation({"PATH": "", "PYSPARK_PYTHON": "./bin/python"}) == installed(
        own_packages, SPARK_HOME=spark
    )


@pytest.mark.requirement("raydp-submit-paths")
def test_what_is_set_is_taken_as_it_is(site, ray_env, starts):
    env = {**ray_env, "RAYDP_HOME": f"{site}/raydp", "RAY_HOME": f"{site}/ray"}
    assert find_installation({**env, "SPARK_HOME": "/spark"}) == installed(site)
    assert find_installation(env) == installed(site)
    assert starts() == 0
    assert find_installation({**ray_env, "SPARK_HOME": "/spark"}) == installed(site)


def test_without_raydp_there_is_none(tmp_path):
    assert find_installation({"PATH": str(tmp_path)}) is None


@pytest.mark.requirement("raydp-submit-install")
@pytest.mark.parametrize(
    ("missing", "sentence"),
    [("ray/jars/ray_dist.jar", r'pip install "ray\[default\]"'), ("raydp/jars/raydp-agent-1.6.5.jar", "reinstall it")],
)
def test_half_an_installation_is_one_sentence(site, ray_env, missing, sentence):
    (site / missing).unlink()
    with pytest.raises(RaydpNotFoundError, match=sentence) as caught:
        find_installation(ray_env)
    assert "\n" not in str(caught.value)


@pytest.mark.requirement("raydp-submit-install")
def test_a_spark_that_raydp_excludes_is_refused(site, make_spark, tmp_path):
    found = installed(site)
    check_spark(found, f"{site}/pyspark")
    for version, pin in (("4.3.0", "pyspark<=3.5.7"), ("3.0.9", "pyspark>=3.1.1")):
        spark = make_spark(tmp_path / version)
        check_spark(found, str(spark))  # its version can't be told
        (spark / "jars" / f"spark-core_2.13-{version}.jar").touch()
        with pytest.raises(UsageError, match=rf'{version[:3]} in .*pip install "{pin}"'):
            check_spark(found, str(spark))
        (site / "raydp-1.6.5.dist-info" / "METADATA").rename(tmp_path / "METADATA")
        check_spark(found, str(spark))
        (tmp_path / "METADATA").rename(site / "raydp-1.6.5.dist-info" / "METADATA")


def test_the_version_is_in_the_names_of_the_jars(site):
    assert spark_version(f"{site}/pyspark") == (3, 5)
    assert spark_version(str(site)) is None
