from __future__ import annotations

import importlib.util
import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from raydp_wrap_spark.options import SWITCHES, WITH_VALUE, Options

ORACLE = Path(__file__).parent / "programs" / "OptionOracle.java"


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


class Oracle:
    """Spark's own launcher, asked how it understands a command line."""

    def __init__(self, jar, classes):
        subprocess.run(["javac", "-cp", jar, "-d", classes, ORACLE], check=True)
        self.process = subprocess.Popen(
            ["java", "-Xshare:auto", "-cp", f"{jar}:{classes}", "org.apache.spark.launcher.OptionOracle"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.with_value, self.switches = self._read(), self._read()

    def ask(self, argv):
        words = [word.encode() for word in argv]
        packed = b"".join(struct.pack(">i", len(word)) + word for word in words)
        self.process.stdin.write(struct.pack(">i", len(words)) + packed)
        self.process.stdin.flush()
        return self._read()

    def _read(self):
        number = struct.unpack(">i", self.process.stdout.read(4))[0]
        return [
            self.process.stdout.read(struct.unpack(">i", self.process.stdout.read(4))[0]).decode()
            for _ in range(number)
        ]

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(30) == 0
        self.process.stdout.close()


@pytest.fixture(scope="module")
def oracle(tmp_path_factory):
    spark = importlib.util.find_spec("pyspark")
    if spark is None or shutil.which("javac") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("needs pyspark in this environment, and a javac")
    (jar,) = Path(spark.origin).parent.glob("jars/spark-launcher_*.jar")
    asked = Oracle(jar, tmp_path_factory.mktemp("oracle"))
    yield asked
    asked.close()


@pytest.mark.requirement("raydp-submit-options")
def test_sparks_own_parser_has_the_same_names(oracle):
    assert {names.split()[0] for names in oracle.with_value} == WITH_VALUE
    assert {names.split()[0] for names in oracle.switches} == SWITCHES
    for names in (*oracle.with_value, *oracle.switches):
        first, *others = names.split()
        for name in others:
            assert Options([name, "x", "app.py"]).has(first)


OPTIONS = st.sampled_from(sorted(WITH_VALUE - {"--remote"}))
WORDS = st.one_of(
    st.sampled_from(
        ["a", "x=y", "", "-", "--", "--bogus", "--bogus=1", "app.py", "--conf", "-c", "-v", "-h", "--name="]
    ),
    st.sampled_from(["spark-internal", "pyspark-shell-main", "org.apache.spark.repl.Main"]),
    st.text("ab-= \n\r\x85\u2028\tü", max_size=6),
)
CONFS = st.builds("{}={}".format, st.sampled_from(["spark.a", "spark.master", " spark.a"]), WORDS)
PIECES = st.one_of(
    st.builds(lambda name, value: [name, value], OPTIONS, WORDS),
    st.builds(lambda name, value: [f"{name}={value}"], OPTIONS, WORDS),
    st.builds(lambda name, conf: [name, conf], st.sampled_from(["--conf", "-c"]), CONFS),
    st.builds(lambda name, value: [name + value], st.sampled_from(sorted(SWITCHES)), st.sampled_from(["", "=x"])),
    st.just(["--class", "org.apache.spark.sql.hive.thriftserver.SparkSQLCLIDriver"]),
    st.builds(lambda word: [word], WORDS),
)


@pytest.mark.requirement("raydp-submit-options")
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(first=["pyspark-shell-main"], pieces=[["--bogus=1", "x"], ["--name=y"]])
@given(
    first=st.sampled_from([[], [], [], ["pyspark-shell-main"], ["sparkr-shell-main"]]),
    pieces=st.lists(PIECES, max_size=6),
)
def test_every_command_line_is_understood_as_spark_does(oracle, first, pieces):
    argv = [*first, *(word for piece in pieces for word in piece)]
    said = oracle.ask(argv)
    if not said:
        return  # Spark refuses it
    options = Options(argv)
    values = [options.resource, *map(options.value, ("--master", "--deploy-mode", "--properties-file"))]
    assert ["null" if value is None else f"={value}" for value in values] == said[:4]
    confs = 2 * int(said[4])
    understood = dict(zip(said[5 : 5 + confs : 2], said[6 : 6 + confs : 2], strict=False))
    assert options.confs == {name: value for name, value in understood.items() if not name.startswith("spark.driver.")}
    assert list(options.arguments) == said[5 + confs :]
    assert [*argv[options.end :]] == said[len(said) - len(argv) + options.end :] or options.resource == argv[
        options.end
    ]
