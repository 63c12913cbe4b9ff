from __future__ import annotations

from raydp_wrap_spark.names import MAIN_CLASS
from raydp_wrap_spark.submit import spark_submit

VECTOR = "--add-modules=jdk.incubator.vector"


def test_the_launch_is_java_itself_with_a_whole_environment(env, java_home):
    launch = spark_submit(["app.py", "x"], env)
    assert launch.executable == launch.argv[0] == f"{java_home}/bin/java"
    assert launch.argv[-3:] == (MAIN_CLASS, "app.py", "x")
    assert launch.env == {**env, **launch.env}
    assert launch.env["SPARK_ENV_LOADED"] == "1"


def test_variables_the_launcher_sets_go_to_the_environment(env):
    launch = spark_submit(["app.py"], {**env, "FAKE_PREFIX": "LD_LIBRARY_PATH=/a=b"})
    assert launch.argv[0] == launch.executable
    assert launch.env["LD_LIBRARY_PATH"] == "/a=b"


def test_a_missing_module_is_left_out_of_javas_options_only(env, java_home):
    (java_home / "release").write_text('MODULES="java.base"\n')
    launch = spark_submit(["app.py", VECTOR], {**env, "SPARK_LAUNCHER_OPTS": VECTOR})
    assert launch.argv.count(VECTOR) == 1
    assert launch.argv[-1] == VECTOR
