from __future__ import annotations

import pytest

from raydp_wrap_spark.options import Options


@pytest.mark.parametrize(
    ("argv", "master"),
    [
        ([], None),
        (["app.py", "--master", "local"], None),
        (["--master", "local", "app.py"], "local"),
        (["--master=local[2]", "app.py"], "local[2]"),
        (["--master", "ray", "--master", "local", "app.py"], "local"),
        (["--verbose", "--supervise", "-v", "--master", "yarn", "app.py"], "yarn"),
        (["--verbose=yes", "--master", "yarn", "app.py"], "yarn"),
        (["--name", "--master", "local", "app.py"], None),
        (["--conf", "spark.master=yarn", "app.py"], "yarn"),
        (["-c", "spark.master=yarn=x", "--conf=spark.x=y", "app.py"], "yarn=x"),
        (["--conf", "spark.master =yarn", "app.py"], None),
        (["--conf", "spark.master=yarn", "--master", "ray", "app.py"], "ray"),
        (["--conf", "spark.master.rest.port=1", "app.py"], None),
        (["--bogus", "--master", "local"], None),
        (["--master"], ""),
        (["", "--master", "local"], None),
    ],
)
def test_master(argv, master):
    assert Options(argv).master == master


@pytest.mark.parametrize(
    ("argv", "resource", "arguments", "end"),
    [
        ([], None, (), 0),
        (["app.py"], "app.py", (), 0),
        (["--name", "x", "app.py", "--name", "y", ""], "app.py", ("--name", "y", ""), 2),
        (["-v", "--conf=a=b", "app.jar"], "app.jar", (), 2),
        (["--version"], None, (), 1),
        (["--name"], None, (), 1),
        (["--bogus", "app.py"], None, ("--bogus", "app.py"), 0),
        (["--properties-file=a\nb", "app.py"], None, ("--properties-file=a\nb", "app.py"), 0),
        (["run-example", "--name", "x", "SparkPi", "10"], "SparkPi", ("10",), 3),
        (["pyspark-shell-main", "a", "--name", "x", "b"], "pyspark-shell-main", ("a", "b"), 5),
        (
            ["-e", "x", "--class", "org.apache.spark.repl.Main"],
            None,
            ("-e", "x", "--class", "org.apache.spark.repl.Main"),
            0,
        ),
        (["--class", "org.apache.spark.repl.Main", "-i", "x", "--name", "y"], "spark-shell", ("-i", "x"), 6),
    ],
)
def test_the_application_and_what_belongs_to_it(argv, resource, arguments, end):
    options = Options(argv)
    assert (options.resource, options.arguments, options.end) == (resource, arguments, end)


def test_deploy_mode():
    assert Options(["app.py", "--deploy-mode", "cluster"]).deploy_mode is None
    assert Options(["--conf", "spark.submit.deployMode=cluster", "app.py"]).deploy_mode == "cluster"
    assert Options(["--conf", "spark.submit.deployMode=cluster", "--deploy-mode=client", "x"]).deploy_mode == "client"


def test_one_option():
    options = Options(["-v", "--name", "a", "--name=b", "app.py", "--jars", "c"])
    assert options.has("--verbose")
    assert options.has("--name")
    assert not options.has("--jars")
    assert (options.value("--name"), options.value("--jars")) == ("b", None)


def test_properties_file_and_defaults():
    options = Options(["--properties-file", "a", "--properties-file=b", "--load-spark-defaults", "app.py"])
    assert (options.properties_file, options.loads_defaults) == ("b", True)
    assert (Options(["app.py"]).properties_file, Options(["app.py"]).loads_defaults) == (None, False)


@pytest.mark.parametrize("word", ["--help", "-h", "--version"])
def test_information_needs_no_master(word):
    assert Options(["--name", "x", word]).wants_no_master
    assert not Options(["--name", word, "app.py", word]).wants_no_master
