"""What the application's Python keeps of what it compiles, with a Spark of one module in a zip file."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile

import pytest

from raydp_wrap_spark.faststart.compiled import START, with_compiled
from raydp_wrap_spark.options import Options

TOLD = "import pyspark.told, sys\nprint(pyspark.told.SAYS, pyspark.told.__file__, pyspark.told.f.__code__.co_filename)"


class Python:
    """The application's Python, with ZIP_FILE on its path as Spark has it."""

    def __init__(self, directory):
        self.zip_file = directory / "lib" / "pyspark.zip"
        self.zip_file.parent.mkdir()
        self.cache = directory / "raydp-wrap" / "python"
        self.env = {"XDG_CACHE_HOME": str(directory), "SPARK_HOME": str(directory)}
        self.says("one")

    def says(self, word):
        with zipfile.ZipFile(self.zip_file, "w") as file:
            file.writestr("pyspark/__init__.py", "")
            file.writestr("pyspark/told.py", f"SAYS = {word!r}\ndef f(): pass\n")

    def run(self, program=TOLD, *more, options=(), **env):
        equipped = with_compiled({**self.env, **env}, Options(["--master", "local[2]", "app.py"]))
        path = ":".join(filter(None, [str(self.zip_file), equipped.get("PYTHONPATH")]))
        command = [sys.executable, *options, "-c", program, *more]
        done = subprocess.run(
            command, env={**equipped, "PYTHONPATH": path}, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    @property
    def expected(self):
        file = f"{self.zip_file}/pyspark/told.py"
        return f"one {file} {file}\n"

    @property
    def kept(self):
        return sorted(self.cache.iterdir())


@pytest.fixture
def python(private):
    return Python(private)


@pytest.mark.requirement("spark-fast-python")
def test_what_was_compiled_once_is_not_compiled_again(python):
    assert python.run() == python.expected
    kept = python.kept
    assert len(kept) == 2
    before = [file.stat().st_mtime_ns for file in kept]
    no_compiler = f"import builtins\ndef no(*a, **k): raise AssertionError\nbuiltins.compile = no\n{TOLD}"
    assert python.run(no_compiler) == python.expected
    assert [file.stat().st_mtime_ns for file in python.kept] == before
    assert {oct(file.stat().st_mode & 0o777) for file in kept} == {"0o600"}


@pytest.mark.requirement("spark-fast-python")
def test_other_sources_and_another_optimization_are_compiled_anew(python):
    python.run()
    python.says("two")
    assert python.run().startswith("two ")
    assert len(python.kept) == 3
    assert python.run(options=["-O"]).startswith("two ")
    assert len(python.kept) == 5


@pytest.mark.requirement("spark-fast-python")
@pytest.mark.parametrize("spoilt", [b"", b"x" * 7, b"x" * 100])
def test_a_torn_file_is_as_none(python, spoilt):
    python.run()
    whole = [file.read_bytes() for file in python.kept]
    for file in python.kept:
        file.write_bytes(spoilt or file.read_bytes()[:-9] + bytes(9))
    assert python.run() == python.expected
    assert [file.read_bytes() for file in python.kept] == whole


def test_a_directory_that_others_can_write_to_is_not_used(python):
    python.run()
    for file in python.kept:
        file.unlink()
    start = python.env | {"PYTHONPATH": f"{python.zip_file}:{START}"}
    python.cache.chmod(0o770)
    done = subprocess.run([sys.executable, "-c", TOLD], env=start, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == (python.expected, "")
    assert python.kept == []


def test_a_full_or_locked_disk_only_loses_the_speed(python):
    limits = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\nimport signal\n"
    assert python.run(f"{limits}signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n{TOLD}") == python.expected
    assert python.kept == []


@pytest.mark.requirement("spark-fast-python")
def test_the_application_sees_nothing_of_it(python, private):
    told = (
        "import os, sys\nprint(os.environ['PYTHONPATH'], [p for p in sys.path if 'python_start' in p],"
        "[p for p in sys.path_importer_cache if 'python_start' in p], getattr(sys, 'customized', None))"
    )
    assert python.run(told) == f"{python.zip_file} [] [] None\n"
    (private / "sitecustomize.py").write_text("import sys; sys.customized = 'by the user'\n")
    assert python.run(told, PYTHONPATH=f"{private}::/b") == f"{python.zip_file}:{private}::/b [] [] by the user\n"


@pytest.mark.parametrize(
    ("argv", "env", "expected"),
    [
        (["app.py"], {}, True),
        (["--master", "local", "app.py"], {}, True),
        (["--master", "yarn", "app.py"], {}, False),
        (["--conf", "spark.master=k8s://here", "app.py"], {}, False),
        (["app.py"], {"MASTER": "yarn"}, False),
        (["--class", "A", "app.jar"], {}, False),
        (["app.py"], {"XDG_CACHE_HOME": "/proc/1/nothing"}, False),
    ],
)
def test_only_a_local_python_application_is_given_it(private, argv, env, expected):
    given = {"XDG_CACHE_HOME": str(private), "SPARK_HOME": str(private), "PYTHONPATH": "/own", **env}
    assert with_compiled(given, Options(argv))["PYTHONPATH"] == (f"{START}:/own" if expected else "/own")


def test_the_directory_does_not_grow_for_ever(python, monkeypatch):
    python.run()
    monkeypatch.setattr("raydp_wrap_spark.faststart.compiled._MOST", 1)
    with_compiled(python.env, Options(["app.py"]))
    assert os.listdir(python.cache) == []
