"""Shims are run as programs, before a Spark whose application is a shell script."""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from raydp_wrap.errors import UsageError

from raydp_wrap_spark import shim
from raydp_wrap_spark.shim import NAMES, install, install_home, remove, remove_home

# A java that is Spark's launcher: the application is a shell script, $APPLICATION, with the given arguments.
LAUNCHER = r"""#!/bin/sh
echo launched >>"$LOG"
while [ "$1" != org.apache.spark.deploy.SparkSubmit ]; do shift; done
shift
printf '\0\n'
printf '%s\0' /bin/sh -c "$APPLICATION" application "$@"
"""


@pytest.fixture
def env(env, java_home, executable, tmp_path):
    executable(java_home / "bin" / "java", LAUNCHER)
    return {
        **env,
        "HOME": str(tmp_path),
        "RAYDP_WRAP_HOME": str(tmp_path / "state"),
        "LOG": str(tmp_path / "log"),
        "APPLICATION": 'printf "%s\\n" "$SPARK_HOME" "$@"',
    }


@pytest.fixture
def shims(tmp_path):
    directory = tmp_path / "shims"
    install(directory)
    return directory


def run(argv, env, **more):
    return subprocess.run(argv, env=env, capture_output=True, text=True, check=False, timeout=60, **more)


def launches(env):
    return Path(env["LOG"]).read_text(encoding="utf-8").splitlines().count("launched")


@pytest.mark.requirement("shim-1")
@pytest.mark.parametrize("name", NAMES)
def test_each_is_its_tool_found_by_name(env, shims, spark, name):
    env["PATH"] = f"{shims}:{env['PATH']}"
    done = run(["env", name, "--master", "local", "app.py", "a b"], env)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [str(spark), "--master", "local", "app.py", "a b"]


@pytest.mark.requirement("shim-1")
def test_raydp_submit_is_raydp_submit(env, shims):
    done = run([shims / "raydp-submit", "help"], env)
    assert done.returncode == 0
    assert "raydp-submit [--ray-conf FILE]" in done.stdout + done.stderr


@pytest.mark.requirement("shim-1")
def test_exit_code_and_streams_are_the_applications(env, shims):
    env["APPLICATION"] = "cat; echo err >&2; exit 7"
    done = run([shims / "spark-submit"], env, input="in\n")
    assert (done.returncode, done.stdout) == (7, "in\n")
    first, *own = done.stderr.splitlines()
    assert first == "err"
    assert all(line.startswith("raydp-wrap: ") for line in own)


@pytest.mark.requirement("shim-2")
@pytest.mark.parametrize("name", ["python", "py thon", "py'\"$x\\n\\N`id`", "p" * 200, "ü", "line\nbreak"])
def test_any_path_of_python_works_and_it_is_one_process(env, tmp_path, executable, name):
    real = Path(sys.executable).resolve()
    python = tmp_path / name / "bin" / "python"
    executable(tmp_path / name / "pyvenv.cfg", f"home = {real.parent}\n")
    python.parent.mkdir()
    python.symlink_to(real)
    program = tmp_path / "spark-submit"
    program.write_bytes(
        shim._program(str(python), "import os, sys; print([sys.executable, os.getpid(), *sys.argv[1:]])")
    )
    program.chmod(0o755)
    with subprocess.Popen([program, "a b", ""], env=env, stdout=subprocess.PIPE, text=True) as started:
        output, _ = started.communicate()
    assert (started.returncode, output) == (0, f"{[str(python), started.pid, 'a b', '']}\n")


@pytest.mark.requirement("shim-2")
def test_what_is_meant_for_the_applications_python_is_not_for_ours(env, shims, tmp_path, executable, monkeypatch):
    for place in (tmp_path / "modules", shims):
        executable(place / "raydp_wrap.py", "raise SystemExit('taken from here')\n")
        executable(place / "select.py", "raise SystemExit('taken from here')\n")
    monkeypatch.chdir(tmp_path / "modules")
    env |= {"PYTHONPATH": str(tmp_path / "modules"), "PYTHONHOME": "/no/such", "PYTHONVERBOSE": "1"}
    env["APPLICATION"] = 'printf "%s\\n" "$PYTHONPATH" "$PYTHONHOME" "$PYTHONVERBOSE"'
    done = run([shims / "spark-submit"], env)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [str(tmp_path / "modules"), "/no/such", "1"]


@pytest.mark.requirement("shim-2")
def test_a_package_that_only_pythonpath_finds_is_refused(tmp_path, monkeypatch, executable):
    monkeypatch.setattr(sys, "executable", str(executable(tmp_path / "python", "#!/bin/sh\nexit 1\n")))
    with pytest.raises(UsageError, match="PYTHONPATH"):
        install(tmp_path / "shims")
    assert not (tmp_path / "shims").exists()


@pytest.mark.requirement("shim-3")
def test_making_them_again_changes_nothing_and_mends_what_is_old(shims):
    before = {path.name: path.read_bytes() for path in shims.iterdir()}
    assert set(before) == set(NAMES)
    (shims / "spark-submit").write_bytes(before["spark-submit"] + b"# of an older one\n")
    (shims / "spark-submit").chmod(0o600)
    install(shims)
    assert {path.name: path.read_bytes() for path in shims.iterdir()} == before
    assert {stat.S_IMODE(path.stat().st_mode) for path in shims.iterdir()} == {0o755}


@pytest.mark.requirement("shim-3")
@pytest.mark.parametrize("what", ["file", "link", "dangling link", "directory"])
def test_what_is_not_ours_is_not_touched(shims, tmp_path, what):
    path = shims / "spark3-submit"
    ours = path.read_bytes()
    path.unlink()
    if what == "file":
        path.write_text("#!/bin/sh\n# mine\n# raydp-wrap shim\n")
    elif what == "directory":
        path.mkdir()
    else:
        (tmp_path / "ours").write_bytes(ours)
        path.symlink_to(tmp_path / "ours" if what == "link" else "/no/such")
    (shims / "spark-submit").unlink()
    with pytest.raises(UsageError, match=r"spark3-submit' is there and no shim: remove it, or name another"):
        install(shims)
    assert not (shims / "spark-submit").exists(), "all or nothing"
    removed = remove(shims)
    assert path not in removed
    assert os.listdir(shims) == ["spark3-submit"]


@pytest.mark.requirement("shim-3")
def test_what_cannot_be_written_leaves_nothing_behind(shims, monkeypatch):
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(PermissionError("no")))
    before = sorted(os.listdir(shims))
    with pytest.raises(PermissionError):
        install(shims)
    assert sorted(os.listdir(shims)) == before


@pytest.mark.requirement("shim-3")
def test_removing_takes_the_shims_and_nothing_else(shims):
    (shims / "other").touch()
    assert sorted(path.name for path in remove(shims)) == sorted(NAMES)
    assert os.listdir(shims) == ["other"]
    assert remove(shims) == remove(shims / "none") == []


@pytest.mark.requirement("shim-4")
def test_a_sparks_own_directory_is_refused(spark):
    before = sorted(os.listdir(spark / "bin"))
    with pytest.raises(UsageError, match="is a Spark's own"):
        install(spark / "bin")
    assert sorted(os.listdir(spark / "bin")) == before


@pytest.mark.requirement("shim-4")
@pytest.mark.parametrize("how", ["SPARK_HOME", "PATH", "two shims", "a link to one", "inside SPARK_HOME", "overlay"])
def test_it_finds_the_spark_behind_it_and_starts_it_once(env, shims, spark, tmp_path, how):
    env["APPLICATION"] = 'echo "$SPARK_HOME"'
    home = env["SPARK_HOME"]
    path = [str(shims)]
    if how == "PATH":
        del env["SPARK_HOME"]
        path.append(f"{spark}/bin")
    elif how == "two shims":
        del env["SPARK_HOME"]
        install(tmp_path / "shims2")
        path += [str(tmp_path / "shims2"), str(shims), f"{spark}/bin"]
    elif how == "a link to one":
        del env["SPARK_HOME"]
        (tmp_path / "links").mkdir()
        (tmp_path / "links" / "spark-submit").symlink_to(shims / "spark-submit")
        path = [str(tmp_path / "links"), str(shims), f"{spark}/bin"]
    elif how == "inside SPARK_HOME":
        del env["SPARK_HOME"]
        install(spark / "sbin")
        path = [f"{spark}/sbin", f"{spark}/bin"]
    elif how == "overlay":
        home = str(tmp_path / "over lay")
        install_home(Path(home), spark)
        env["SPARK_HOME"] = home
        path = [f"{home}/bin"]
    env["PATH"] = ":".join([*path, env["PATH"]])
    done = run(["env", "spark-submit"], env)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{home}\n", "")
    assert launches(env) == 1


@pytest.mark.requirement("shim-4")
@pytest.mark.parametrize("nested", ['"$SPARK_HOME/bin/spark-submit"', "spark-submit"])
def test_an_application_that_submits_another_starts_one(env, spark, tmp_path, nested):
    """As PySpark does for its JVM."""
    home = tmp_path / "overlay"
    install_home(home, spark)
    env |= {"PATH": f"{home}/bin:{env['PATH']}", "SPARK_HOME": str(home)}
    env["APPLICATION"] = f'echo "$DEPTH"; [ "$DEPTH" ] || DEPTH=1 {nested} inner'
    done = run(["env", "spark-submit", "outer"], env)
    assert (done.returncode, done.stdout, done.stderr) == (0, "\n1\n", "")
    assert launches(env) == 2


@pytest.mark.requirement("shim-4")
def test_a_spark_home_that_holds_only_shims_is_no_spark(env, shims, tmp_path):
    install(tmp_path / "home" / "bin")
    env |= {"PATH": f"{shims}:{env['PATH']}", "SPARK_HOME": str(tmp_path / "home")}
    done = run(["env", "spark-submit"], env)
    assert (done.returncode, done.stdout) == (127, "")
    assert "there is no Spark in it" in done.stderr


@pytest.mark.requirement("shim-5")
def test_an_overlay_is_the_spark_but_for_spark_submit(env, spark, tmp_path):
    (spark / "conf").mkdir()
    home = tmp_path / "over'lay"
    assert install_home(home, spark) == [home / "bin" / "spark-submit"]
    assert sorted(os.listdir(home)) == sorted(os.listdir(spark))
    assert sorted(os.listdir(home / "bin")) == sorted(os.listdir(spark / "bin"))
    assert (home / "bin" / "spark-class").samefile(spark / "bin" / "spark-class")
    assert not (home / "bin" / "spark-submit").is_symlink()
    # As Spark's own, it is a Spark's by its place, where no SPARK_HOME says otherwise.
    env["APPLICATION"] = 'echo "$SPARK_HOME"'
    assert run([home / "bin" / "spark-submit"], env).stdout == f"{spark}\n"
    for unset in ("", None):
        env["SPARK_HOME"] = unset
        done = run([home / "bin" / "spark-submit"], {name: value for name, value in env.items() if value is not None})
        assert done.stdout == f"{home}\n"


@pytest.mark.requirement("shim-5")
def test_an_overlay_is_made_anew_and_removed_without_a_trace(spark, tmp_path):
    home = tmp_path / "overlay"
    install_home(home, spark)
    (spark / "new").touch()
    install_home(home, spark)
    assert (home / "new").is_symlink()
    remove_home(home)
    assert not home.exists()
    assert (spark / "bin" / "spark-submit").exists()
    assert remove_home(home) == remove_home(spark) == []


@pytest.mark.requirement("shim-5")
def test_an_overlay_takes_no_directory_that_is_in_use(spark, tmp_path):
    (tmp_path / "link").symlink_to(spark)
    for place in (spark, tmp_path / "link"):
        with pytest.raises(UsageError, match="is the Spark that is to be behind it"):
            install_home(place, spark)
    with pytest.raises(UsageError, match="not empty"):
        install_home(tmp_path, spark)
    assert sorted(os.listdir(spark)) == ["bin", "jars"]


@pytest.mark.requirement("shim-3", "shim-5")
def test_the_command(spark, tmp_path, monkeypatch):
    monkeypatch.setenv("SPARK_HOME", str(spark))
    monkeypatch.chdir(tmp_path)

    def shim_command(*argv):
        done = CliRunner().invoke(shim.command(), argv, catch_exceptions=False)
        assert done.exit_code == 0
        return done.output.splitlines()

    made = [str(tmp_path / "my shims" / name) for name in NAMES]
    *lines, hint = shim_command("my shims")
    assert lines == [f"made {path}" for path in made]
    assert hint == f"use them with: export PATH='{tmp_path}/my shims':\"$PATH\""
    assert shlex.split(hint.partition("export ")[2]) == [f"PATH={tmp_path}/my shims:$PATH"]
    assert shim_command("--remove", "my shims") == [f"removed {path}" for path in made]
    assert shim_command("--spark-home", "home")[-1] == f"use it with: export SPARK_HOME={tmp_path}/home"
    assert shim_command("--remove", "--spark-home", "home") == [f"removed {tmp_path}/home/bin/spark-submit"]
