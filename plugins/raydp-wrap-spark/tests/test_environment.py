from __future__ import annotations

import os

import pytest

from raydp_wrap_spark.environment import spark_environment
from raydp_wrap_spark.errors import SubmitEndedError


@pytest.fixture
def spark_env_sh(spark):
    def write(text: str) -> None:
        (spark / "conf").mkdir(exist_ok=True)
        (spark / "conf" / "spark-env.sh").write_text(text)

    return write


def test_what_the_scripts_export(env, spark):
    assert spark_environment([], env) == {
        **env,
        "PYTHONHASHSEED": "0",
        "SPARK_CONF_DIR": f"{spark}/conf",
        "SPARK_ENV_LOADED": "1",
        "SPARK_SCALA_VERSION": "2.13",
    }


def test_spark_env_sh_is_shell_and_all_it_sets_is_exported(env, spark_env_sh):
    spark_env_sh('plain=1\nexport LINES_="a\nb"\nONE="$(echo sub) $SPARK_HOME"\nf() { echo f; }\nunset JAVA_HOME\n')
    full = spark_environment([], env)
    assert full["plain"] == "1"
    assert full["LINES_"] == "a\nb"
    assert full["ONE"] == f"sub {env['SPARK_HOME']}"
    assert full["BASH_FUNC_f%%"].startswith("() {")
    assert "JAVA_HOME" not in full
    assert full["SPARK_ENV_LOADED"] == "1"
    assert "_" not in full
    assert "SHLVL" not in full


def test_spark_env_sh_sees_what_spark_class_shows_it(env, spark_env_sh):
    spark_env_sh('GIVEN="$0|$#|$1|$3"\n')
    full = spark_environment(["a b", ""], env)
    assert full["GIVEN"] == f"{env['SPARK_HOME']}/bin/spark-class|3|org.apache.spark.deploy.SparkSubmit|"


def test_bytes_that_are_no_text_survive_spark_env_sh(env, spark_env_sh):
    spark_env_sh("X=1\n")
    env["RAW"] = os.fsdecode(b"\xff=\n")
    assert os.fsencode(spark_environment([], env)["RAW"]) == b"\xff=\n"


def test_a_large_environment_survives_spark_env_sh(env, spark_env_sh):
    spark_env_sh('BIG=$(printf "%0100000d" 7)\n')
    assert len(spark_environment([], env)["BIG"]) == 100_000


def test_what_spark_env_sh_prints_is_shown(env, spark_env_sh, capfd):
    spark_env_sh("echo out; echo err >&2\n")
    spark_environment([], env)
    assert capfd.readouterr() == ("out\n", "err\n")


@pytest.mark.parametrize(("line", "code"), [("exit 4", 4), ("exit 0", 0), ("kill -9 $$", 137)])
def test_spark_env_sh_that_exits_ends_it_with_its_code(env, spark_env_sh, line, code):
    spark_env_sh(f"{line}\n")
    with pytest.raises(SubmitEndedError) as caught:
        spark_environment([], env)
    assert caught.value.exit_code == code


def test_spark_env_sh_is_read_once(env, spark_env_sh):
    spark_env_sh("MORE=1\n")
    full = spark_environment([], {**env, "SPARK_ENV_LOADED": "1"})
    assert "MORE" not in full
    assert "SPARK_CONF_DIR" not in full


def test_spark_conf_dir_of_the_user_is_used(env, tmp_path):
    (tmp_path / "spark-env.sh").write_text("HERE=1\n")
    full = spark_environment([], {**env, "SPARK_CONF_DIR": str(tmp_path)})
    assert (full["HERE"], full["SPARK_CONF_DIR"]) == ("1", str(tmp_path))


@pytest.mark.parametrize("scala", ["2.12", "2.13"])
def test_scala_version_is_the_jars(env, tmp_path, make_spark, scala):
    home = make_spark(tmp_path / "other", scala=scala)
    full = spark_environment([], {**env, "SPARK_HOME": str(home), "SPARK_SCALA_VERSION": "2.11"})
    assert full["SPARK_SCALA_VERSION"] == scala


def test_scala_version_of_a_source_tree_is_its_builds(env, tmp_path, make_spark):
    home = make_spark(tmp_path / "other", scala="0")
    env["SPARK_HOME"] = str(home)
    assert spark_environment([], env)["SPARK_SCALA_VERSION"] == "2.13"
    (home / "assembly" / "target" / "scala-2.12").mkdir(parents=True)
    assert spark_environment([], env)["SPARK_SCALA_VERSION"] == "2.12"
    assert spark_environment([], {**env, "SPARK_SCALA_VERSION": "2.13"})["SPARK_SCALA_VERSION"] == "2.13"


def test_sparks_own_tests_see_no_cluster(env):
    full = spark_environment([], {**env, "SPARK_TESTING": "1", "HADOOP_CONF_DIR": "x", "YARN_CONF_DIR": "y"})
    assert not {"HADOOP_CONF_DIR", "YARN_CONF_DIR"} & set(full)
