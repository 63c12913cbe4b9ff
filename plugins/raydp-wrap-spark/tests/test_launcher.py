from __future__ import annotations

import os

import pytest

from raydp_wrap_spark.environment import spark_environment
from raydp_wrap_spark.errors import SparkNotFoundError, SubmitEndedError
from raydp_wrap_spark.launcher import build_command
from raydp_wrap_spark.names import MAIN_CLASS


@pytest.fixture
def build(java_home, env):
    def build(*argv: str, **more: str) -> list[str]:
        return build_command(f"{java_home}/bin/java", argv, spark_environment(argv, {**env, **more}))

    return build


def test_how_the_launcher_is_started(build, java_home, spark):
    java = f"{java_home}/bin/java"
    assert build("app.py", SPARK_LAUNCHER_OPTS=" -Da=b  -Xshare:off\n") == [
        java,
        "-Xmx128m",
        "-Da=b",
        "-Xshare:off",
        "-cp",
        f"{spark}/jars/spark-launcher_2.13-1.0.jar:{spark}/jars/*",
        "org.apache.spark.launcher.Main",
        MAIN_CLASS,
        "app.py",
    ]


def test_arguments_come_back_byte_for_byte(build):
    argv = ("app.py", "a b", "", "'\"$x`", "line\nline\n", "cr\r", os.fsdecode(b"\xff\xfe"), "ü", "*", "-")
    assert tuple(build(*argv)[-len(argv) :]) == argv


def test_what_the_jvm_says_first_is_shown_and_is_no_argument(build, capfd):
    command = build("app.py", FAKE_SAYS="warning: x\r\n\ny")
    assert command[-1] == "app.py"
    assert capfd.readouterr().out == "warning: x\ny\n"


def test_the_launchers_exit_code_is_kept(build):
    with pytest.raises(SubmitEndedError) as caught:
        build("app.py", FAKE_EXIT="255")
    assert caught.value.exit_code == 255


def test_a_jvm_that_does_not_start_is_1_and_its_words_are_shown(build, capfd):
    with pytest.raises(SubmitEndedError) as caught:
        build("app.py", FAKE_SAYS="Error occurred", FAKE_EXIT_EARLY="134")
    assert caught.value.exit_code == 1
    assert capfd.readouterr().out == "Error occurred\n"


def test_class_path_of_a_source_tree(build, spark):
    (spark / "assembly" / "target" / "scala-2.13").mkdir(parents=True)
    (spark / "jars").rename(spark / "assembly" / "target" / "scala-2.13" / "jars")
    jars = f"{spark}/assembly/target/scala-2.13/jars"
    jars = f"{jars}/spark-launcher_2.13-1.0.jar:{jars}/*"
    assert jars in build()
    assert f"{spark}/launcher/target/scala-2.13/classes:{jars}" in build(SPARK_PREPEND_CLASSES="1")


def test_a_spark_without_jars_is_one_sentence_and_1(build, spark):
    for jar in (spark / "jars").iterdir():
        jar.unlink()
    (spark / "jars").rmdir()
    with pytest.raises(SparkNotFoundError, match="no directory jars") as caught:
        build()
    assert caught.value.exit_code == 1
    assert build(SPARK_TESTING="1")
