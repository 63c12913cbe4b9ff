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
        (["--name", "--master", "local", "app.py"], None),
        (["--conf", "spark.master=yarn", "app.py"], "yarn"),
        (["-c", "spark.master = yarn", "--conf=spark.x=y", "app.py"], "yarn"),
        (["--conf", "spark.master=yarn", "--master", "ray", "app.py"], "ray"),
        (["--conf", "spark.master.rest.port=1", "app.py"], None),
        (["--master"], ""),
        (["", "--master", "local"], None),
    ],
)
def test_master(argv, master):
    assert Options(argv).master == master


def test_properties_file_and_defaults():
    options = Options(["--properties-file", "a", "--properties-file=b\nc", "--load-spark-defaults", "app.py"])
    assert (options.properties_file, options.loads_defaults) == ("b\nc", True)
    assert (Options(["app.py"]).properties_file, Options(["app.py"]).loads_defaults) == (None, False)


@pytest.mark.parametrize("word", ["--help", "-h", "--version"])
def test_information_needs_no_master(word):
    assert Options(["--name", "x", word]).wants_no_master
    assert not Options(["--name", word, "app.py", word]).wants_no_master
