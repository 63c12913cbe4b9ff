from __future__ import annotations

import os
import stat

import pytest

from raydp_wrap_spark import kept_answers
from raydp_wrap_spark.environment import spark_environment
from raydp_wrap_spark.faststart import answers
from raydp_wrap_spark.faststart.answers import question
from raydp_wrap_spark.launcher import build_command
from raydp_wrap_spark.names import MAIN_CLASS

# What Spark's launcher answers, and how often it was asked.
LAUNCHER = """#!/bin/sh
echo >> "{log}"
[ -z "$FAKE_SAYS" ] || echo "$FAKE_SAYS" >&2
while [ "$1" != org.apache.spark.deploy.SparkSubmit ]; do shift; done
printf '\\0\\n'
printf '%s\\0' "$0" -cp "/conf:/jars/*" {more} -Xmx1g "$@"
"""


@pytest.fixture
def asked(private):
    """How often the launcher was asked."""
    return lambda: len((private / "log").read_text()) if (private / "log").exists() else 0


@pytest.fixture
def build(jvm, env, user, private, executable):
    def make(*argv, more="", **variables):
        java = jvm()
        executable(private / "jvm" / "bin" / "java", LAUNCHER.format(log=private / "log", more=more))
        full = {**spark_environment(argv, {**env, **user, **variables})}
        return build_command(java, argv, full, reuse=True)

    return make


def stored(user):
    directory = os.path.join(user["XDG_CACHE_HOME"], "raydp-wrap", "answers")
    return [os.path.join(directory, name) for name in os.listdir(directory)] if os.path.isdir(directory) else []


@pytest.mark.requirement("start-answers")
def test_asked_once_the_application_and_its_arguments_are_the_new_ones(build, asked):
    first = build("--master", "local", "--conf", "a=b", "one.py", "x", "--master", "y")
    assert first[-8:] == ["--master", "local", "--conf", "a=b", "one.py", "x", "--master", "y"]
    again = build("--master", "local", "--conf", "a=b", "two.py", "", "\udcff", "ü")
    assert again == [*first[:-4], "two.py", "", "\udcff", "ü"]
    assert asked() == 1


@pytest.mark.requirement("start-answers")
@pytest.mark.parametrize(
    "change",
    [
        lambda home, _: (home / "conf").mkdir() or (home / "conf" / "spark-defaults.conf").write_text("spark.a b"),
        lambda home, _: (home / "conf").mkdir() or (home / "conf" / "java-opts").write_text("-Da=b"),
        lambda home, _: (home / "jars" / "new.jar").touch(),
        lambda home, _: os.utime(home / "jars" / "spark-launcher_2.13-1.0.jar", (1, 1)),
        lambda home, _: (home / "jars" / "connect-repl").mkdir(),
        lambda _, private: (private / "jvm" / "lib" / "server" / "libjvm.so").write_text("xy"),
        lambda _, private: (private / "more.conf").write_text("spark.a c"),
    ],
)
def test_asked_again_when_a_file_changed(build, asked, spark, private, change):
    (private / "more.conf").write_text("spark.a b")
    argv = ("--properties-file", str(private / "more.conf"), "app.py")
    build(*argv)
    change(spark, private)
    build(*argv)
    assert asked() == 2
    build(*argv)
    assert asked() == 2


@pytest.mark.requirement("start-answers")
@pytest.mark.parametrize("name", sorted({*answers.VARIABLES} - {"SPARK_HOME", "JAVA_HOME", "SPARK_SCALA_VERSION"}))
def test_asked_again_when_a_variable_changed(build, asked, name):
    build("app.py")
    build("app.py", **{name: "/other"})
    assert asked() == 2


@pytest.mark.parametrize(
    "argv",
    [
        ("--conf", "a=c", "app.py"),
        ("--conf=a=b", "app.py"),
        ("--master", "x", "--conf", "a=b", "app.py"),
        ("--verbose", "--conf", "a=b", "app.py"),
    ],
)
def test_asked_again_when_an_option_changed(build, asked, argv):
    build("--conf", "a=b", "app.py")
    build(*argv)
    assert asked() == 2


@pytest.mark.parametrize(
    "argv",
    [
        (),
        ("--version",),
        ("--help",),
        ("--kill", "x"),
        ("--status", "x", "app.py"),
        ("--remote", "sc://x", "app.py"),
        ("pyspark-shell-main", "--name", "x"),
        ("pyspark-shell",),
        ("run-example", "SparkPi"),
        ("--class", "org.apache.spark.sql.hive.thriftserver.HiveThriftServer2", "spark-internal", "--x"),
        ("--class", "org.apache.spark.repl.Main", "spark-shell"),
        ("--class", "org.apache.spark.examples.SparkPi", "x.jar"),
        ("--bogus", "app.py"),
        ("--master",),
    ],
    ids=" ".join,
)
def test_what_is_no_plain_application_is_always_asked(build, asked, user, argv):
    build(*argv)
    build(*argv)
    assert asked() == 2
    assert stored(user) == []


@pytest.mark.parametrize(
    "variables",
    [{"FAKE_SAYS": "warning"}, {"JAVA_TOOL_OPTIONS": "-Da=b"}, {"_JAVA_OPTIONS": "-Da"}, {"SPARK_TESTING": "1"}],
)
def test_one_that_says_something_is_always_asked(build, asked, variables, capfd):
    build("app.py", **variables)
    build("app.py", **variables)
    assert asked() == 2
    assert capfd.readouterr().err == 2 * (variables.get("FAKE_SAYS", "") + "\n") * ("FAKE_SAYS" in variables)


@pytest.mark.requirement("start-secrets")
def test_no_value_of_an_option_lies_on_disk(build, asked, user):
    secret = "spark.ssl.keyPassword=hunter2"
    argv = ("--conf", secret, f"--conf={secret}x", "--driver-java-options", "-Dp=hunter3 -Dq=r", "app.py", "hunter4")
    first = build(*argv, more="'-Dp=hunter3' -Dq=r")
    (file,) = stored(user)
    with open(file) as opened:
        assert "hunter" not in opened.read()
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o600
    assert build(*argv, more="'-Dp=hunter3' -Dq=r") == first
    assert asked() == 1


@pytest.mark.requirement("start-secrets")
def test_words_from_elsewhere_that_may_be_secret_are_not_kept(build, user):
    build("app.py", more="-Dfrom.a.file=hunter2")
    build("app.py", more="-Dio.netty.token=hunter2")
    assert stored(user) == []


def test_a_damaged_answer_is_asked_again(build, asked, user):
    first = build("app.py")
    (file,) = stored(user)
    for text in ("{", "[]", '{"head": []}', '{"head": [[9, 0, 1]]}', '{"head": [["x", 0, 1]]}', '{"head": 3}'):
        with open(file, "w") as opened:
            opened.write(text)
        before = asked()
        assert build("app.py") == first
        assert asked() == before + 1


def test_their_number_is_bounded(build, user, monkeypatch):
    monkeypatch.setattr(kept_answers, "_MOST", 3)
    for number in range(5):
        build("--name", str(number), "app.py")
    assert len(stored(user)) == 3


def test_without_spark_or_a_known_java_it_is_always_asked(jvm, user, tmp_path):
    env = {**user, "SPARK_HOME": str(tmp_path / "none")}
    assert question(jvm(), ["app.py"], env) is None
    assert question("/bin/sh", ["app.py"], env) is None


def test_the_main_class_stands_where_it_did(build):
    assert build("app.py").index(MAIN_CLASS) == build("other.py").index(MAIN_CLASS)
