from __future__ import annotations

import pytest
from raydp_wrap.errors import UsageError

from raydp_wrap_spark.errors import RaydpNotFoundError, SparkNotFoundError, SubmitEndedError
from raydp_wrap_spark.raydp import raydp_submit
from raydp_wrap_spark.submit import spark_submit


@pytest.fixture
def conf(spark):
    (spark / "conf").mkdir()
    return spark / "conf" / "spark-defaults.conf"


@pytest.fixture
def ray_conf(tmp_path):
    file = tmp_path / "ray.conf"
    file.touch()
    return str(file)


@pytest.mark.parametrize(
    "argv",
    [
        ["--master", "local[2]", "app.py", "--master", "ray"],
        ["--conf", "spark.master=local", "app.py"],
        ["--help"],
        ["--version"],
        ["--master", "ray", "--version"],
    ],
)
def test_with_another_master_it_is_spark_submit(env, argv):
    assert raydp_submit(argv, env) == spark_submit(argv, env)


@pytest.mark.requirement("raydp-submit-install")
@pytest.mark.parametrize("argv", [["app.py"], ["--master", "ray", "app.py"], ["--conf", "spark.master=ray", "app.py"]])
def test_without_raydp_the_sentence_says_what_to_install(env, argv):
    with pytest.raises(
        RaydpNotFoundError, match=r"pip install raydp .*pyspark 3\.1\.1 to 3\.5\.7.*--master 'local"
    ) as caught:
        raydp_submit(argv, env)
    assert caught.value.exit_code == 127
    assert "\n" not in str(caught.value)


@pytest.mark.requirement("raydp-submit-install")
def test_without_spark_too_raydp_is_what_is_missing(monkeypatch):
    monkeypatch.setattr("raydp_wrap_spark.home.own_origins", lambda _names: {})
    with pytest.raises(RaydpNotFoundError):
        raydp_submit(["app.py"], {"PATH": ""})
    with pytest.raises(SparkNotFoundError):
        raydp_submit(["app.py"], {"PATH": "", "SPARK_HOME": "/no/such"})


@pytest.mark.parametrize(
    ("text", "runs"),
    [
        ("spark.master local[2]\n", True),
        ("# spark.master local\n", False),
        ("  spark.master=local\r\n", True),
        ("spark.master : local\n", True),
        ("spark.master.rest 1\n", False),
        ("spark.master local\nspark.master ray\n", False),
    ],
)
def test_the_master_of_spark_defaults_counts(env, conf, text, runs):
    conf.write_text(text, newline="")
    if runs:
        assert raydp_submit(["app.py"], env).argv[-1] == "app.py"
    else:
        with pytest.raises(RaydpNotFoundError):
            raydp_submit(["app.py"], env)


def test_a_properties_file_stands_for_the_defaults_unless_both_are_asked_for(env, conf, tmp_path):
    conf.write_text("spark.master local\n")
    mine = tmp_path / "mine.conf"
    mine.write_text("spark.x y\n")
    argv = ["--properties-file", str(mine), "app.py"]
    with pytest.raises(RaydpNotFoundError):
        raydp_submit(argv, env)
    assert raydp_submit(["--load-spark-defaults", *argv], env)
    mine.write_text("spark.master yarn\n")
    assert raydp_submit(argv, env)


def test_ray_conf_must_exist_and_is_not_handed_on(env, ray_conf):
    argv = ["--master", "local", "app.py", "x"]
    assert raydp_submit(["--ray-conf", ray_conf, *argv], env) == spark_submit(argv, env)
    with pytest.raises(UsageError, match=r"there is no file '/no/such'"):
        raydp_submit(["--ray-conf", "/no/such", *argv], env)
    with pytest.raises(UsageError, match="needs a file"):
        raydp_submit(["--ray-conf"], env)


def test_ray_conf_counts_in_first_place_only(env, ray_conf):
    argv = ["--master", "local", "--ray-conf", ray_conf, "app.py"]
    assert raydp_submit(argv, env).argv[-len(argv) :] == tuple(argv)


def test_without_arguments_the_usage_goes_to_stderr_and_the_code_is_1(env, ray_conf, capsys):
    for argv in ([], ["--ray-conf", ray_conf]):
        with pytest.raises(SubmitEndedError) as caught:
            raydp_submit(argv, env)
        out, err = capsys.readouterr()
        assert (caught.value.exit_code, out) == (1, "")
        assert err.startswith("Usage: raydp-submit ")


def test_help_goes_to_stdout_and_the_code_is_0(capfd):
    with pytest.raises(SubmitEndedError) as caught:
        raydp_submit(["help"], {})
    out, err = capfd.readouterr()
    assert (caught.value.exit_code, err) == (0, "")
    assert out.startswith("Usage: raydp-submit ")
