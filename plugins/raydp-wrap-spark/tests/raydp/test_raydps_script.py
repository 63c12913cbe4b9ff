"""RayDP's own script and ours, side by side: what each executes, recorded by a ``java`` that does nothing else."""

from __future__ import annotations

import subprocess

import pytest
from raydp_installed import OURS, SCRIPT, variables

MAIN = "org.apache.spark.deploy.SparkSubmit"
SECRET = "spark.password=secret"
RECORDER = """#!/bin/sh
printf '%s\\0' "$@" > "$RECORD"
exit 3
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.usefixtures("raydp_environment"),
]


@pytest.fixture
def record(tmp_path, executable):
    """Run a command with a java that records its arguments: these, the exit code and the output."""
    executable(tmp_path / "java" / "bin" / "java", RECORDER)

    def run(command, **more):
        file = tmp_path / "record"
        env = variables(**more, JAVA_HOME=str(tmp_path / "java"), RECORD=str(file), RAYDP_WRAP_HOME=f"{tmp_path}/home")
        done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        return file.read_text().split("\0")[:-1], done

    return run


def parts(argv):
    """Java's options, and what SparkSubmit gets."""
    at = argv.index(MAIN)
    return argv[:at], argv[at + 1 :]


def without_ours(spark):
    """SparkSubmit's arguments without the three confs that raydp-submit adds, and these by name."""
    names = ("spark.ray.log4j.config.file.name", "spark.driver.host", "spark.driver.bindAddress")
    rest, added = [], {}
    words = iter(spark)
    for word in words:
        if word == "--conf":
            name, _, value = (conf := next(words)).partition("=")
            if name in names:
                added[name] = value
            else:
                rest += [word, conf]
        else:
            rest.append(word)
    return rest, added


@pytest.mark.requirement("raydp-submit-command", "raydp-submit-output")
@pytest.mark.parametrize(
    ("options", "more"),
    [
        (["--conf", SECRET, "--name", "a b"], {}),
        (
            [
                "--conf",
                "spark.preferClassPath=/a:/b",
                "--conf",
                "spark.log4j.config.file.name=l.properties",
                "--conf",
                "spark.ray.log4j.config.file.name=l.xml",
            ],
            {"RAY_DRIVER_NODE_IP": "192.0.2.7"},
        ),
    ],
    ids=["plain", "preferring"],
)
def test_what_is_executed_is_the_same_byte_for_byte(record, tmp_path, options, more):
    (tmp_path / "ray.conf").touch()
    argv = ["--ray-conf", str(tmp_path / "ray.conf"), *options, "app.py"]
    theirs, script = record(["bash", SCRIPT, *argv], **more)
    ours, wrapper = record([OURS / "raydp-submit", *argv], **more)
    assert parts(ours)[0] == parts(theirs)[0]
    # Ours come first, theirs before the last argument: the same, unless the application has arguments of its own.
    (rest, added), (their_rest, their_added) = without_ours(parts(ours)[1]), without_ours(parts(theirs)[1])
    assert rest == their_rest == ["--master", "ray", *their_rest[2:-1], "app.py"]
    assert added == their_added
    assert len(added) == 3
    # Theirs prints everything, secrets too.
    assert " ".join(options) in script.stdout
    assert (script.returncode, wrapper.returncode, wrapper.stdout) == (3, 3, "")
    assert "secret" not in wrapper.stderr


@pytest.mark.requirement("raydp-submit-arguments")
def test_arguments_that_raydps_script_breaks_are_kept(record):
    argv = ["app.py", "a", "--conf", "b", "c d"]
    theirs, _ = record(["bash", SCRIPT, *argv], RAY_DRIVER_NODE_IP="192.0.2.7")
    ours, _ = record([OURS / "raydp-submit", *argv], RAY_DRIVER_NODE_IP="192.0.2.7")
    assert parts(theirs)[1][2:8] == [
        "app.py",
        "a",
        "--conf",
        "b",
        "--conf",
        "spark.ray.log4j.config.file.name=log4j2.xml",
    ]
    assert parts(ours)[1][-5:] == argv
    assert sorted(parts(ours)[1]) == sorted(parts(theirs)[1])
