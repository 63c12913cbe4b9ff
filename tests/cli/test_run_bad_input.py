"""Bad input gets one sentence and 125, nothing is started and nothing is left."""

from __future__ import annotations

import contextlib
import os
import shlex
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from programs.wrapping import Wrap

pytestmark = pytest.mark.requirement("run-3.4")


def refused(done: subprocess.CompletedProcess[bytes], code: int = 125) -> str:
    """The one sentence."""
    err = done.stderr.decode()
    assert done.returncode == code, err
    assert done.stdout == b""
    assert err.startswith("raydp-wrap: "), err
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    assert err.endswith((".\n", ").\n")), err
    return err


def listing(path: Path) -> list[str]:
    found = [p.relative_to(path) for p in path.rglob("*")]
    return sorted(str(p) for p in found if p.parts[0] != "state")


@pytest.mark.parametrize(
    ("options", "about"),
    [
        (["--grace", "soon"], "--grace"),
        (["--grace", "-1s"], "--grace"),
        (["--grace", "1e3"], "--grace"),
        (["--grace", "nan"], "--grace"),
        (["--grace", "inf"], "--grace"),
        (["--grace", ""], "--grace"),
        (["--grace", "9" * 400], "--grace"),
        (["--active-deadline", "0"], "deadline"),
        (["--active-deadline", "0ms"], "deadline"),
        (["--active-deadline", "-5"], "deadline"),
        (["--active-deadline", "1w"], "deadline"),
        (["--stop-signal", "NOPE"], "NOPE"),
        (["--stop-signal", "0"], "'0'"),
        (["--stop-signal", "-9"], "-9"),
        (["--stop-signal", "65"], "65"),
        (["--stop-signal", "\u00b2"], "\u00b2"),
        (["--cwd", "/no/such/directory"], "/no/such/directory"),
        (["--cwd", "/etc/passwd"], "/etc/passwd"),
        (["--cwd", ""], "directory"),
        (["--env", "NOVALUE"], "NOVALUE"),
        (["--env", "=value"], "=value"),
        (["--env", ""], "NAME=VALUE"),
        (["--report", "/no/such/directory/report"], "/no/such/directory/report"),
        (["--report", "/proc/report"], "/proc/report"),
        (["--report", "/etc/passwd/report"], "/etc/passwd/report"),
        (["--report", ""], "report"),
        (["--report", "/dev/null"], "/dev/null"),
        (["--report", "/" + "x" * 300], "too long"),
        (["--report", "/no\nsuch\x1b[31m/report"], "no\\nsuch\\x1b"),
        (["--unknown"], "--unknown"),
        (["--nam", "x"], "--nam"),
        (["-x"], "-x"),
        (["--json=yes"], "--json"),
    ],
)
def test_a_wrong_option(wrap: Wrap, tmp_path: Path, options: list[str], about: str) -> None:
    marker = tmp_path / "started"
    assert about in refused(wrap.run(*options, "--", "touch", str(marker)))
    assert listing(tmp_path) == []
    assert wrap.left() == []


def test_an_option_without_its_value(wrap: Wrap) -> None:
    for option in ("--grace", "--report", "--env"):
        assert option in refused(wrap.run(option))


def test_no_command(wrap: Wrap) -> None:
    for arguments in ([], ["--"], ["--json"], ["--name", "x", "--"]):
        assert "no command" in refused(wrap.run(*arguments))
    assert wrap.left() == []


def test_an_unknown_command_of_ours() -> None:
    done = subprocess.run([sys.executable, "-m", "raydp_wrap", "rnu"], check=False, capture_output=True, timeout=60)
    assert "rnu" in refused(done)


def test_an_unusable_report(wrap: Wrap, tmp_path: Path) -> None:
    marker = tmp_path / "started"
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "to-fifo").symlink_to("fifo")
    before = listing(tmp_path)
    for name in ("fifo", "loop", "to-fifo", "."):
        refused(wrap.run("--report", str(tmp_path / name), "--", "touch", str(marker)))
    assert listing(tmp_path) == before
    assert stat.S_ISFIFO((tmp_path / "fifo").stat().st_mode)


def test_a_relative_report_where_the_directory_is_gone(wrap: Wrap, tmp_path: Path) -> None:
    wrapped = shlex.join(str(word) for word in wrap.argv("--report", "x", "--", "touch", f"{tmp_path}/started"))
    script = f"mkdir {tmp_path}/d; cd {tmp_path}/d; rmdir {tmp_path}/d; {wrapped}"
    refused(subprocess.run(["sh", "-c", script], check=False, capture_output=True, timeout=60))
    assert listing(tmp_path) == []


def test_a_state_directory_that_cannot_be_used(wrap: Wrap, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o755)
    (tmp_path / "theirs").mkdir(mode=0o700)
    os.chown(tmp_path / "theirs", 12345, 12345) if os.geteuid() == 0 else (tmp_path / "theirs").chmod(0o777)
    (tmp_path / "link").symlink_to("theirs")
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o777)
    (tmp_path / "shared" / "mine").mkdir(mode=0o700)
    before = listing(tmp_path)
    for name in ("file", "open", "theirs", "link", "shared/mine", "file/below", "shared/new"):
        home = str(tmp_path / name)
        env = {**os.environ, "RAYDP_WRAP_HOME": home}
        report = ["--report", str(tmp_path / "report")]
        said = refused(wrap.run(*report, "--", "touch", f"{tmp_path}/started", env=env))
        assert str(tmp_path) in said
    assert [name for name in listing(tmp_path) if name != "shared/new"] == before


@contextlib.contextmanager
def mounted(where: Path, *options: str) -> Iterator[None]:
    where.mkdir(mode=0o700, exist_ok=True)
    if subprocess.run(["mount", "-t", "tmpfs", *options, "tmpfs", where], check=False, capture_output=True).returncode:
        pytest.skip("NEEDS ROOT: tmpfs can't be mounted here")
    try:
        where.chmod(0o700) if "ro" not in "".join(options) else None
        yield
    finally:
        subprocess.run(["umount", where], check=True)


def test_a_read_only_state_directory(wrap: Wrap, tmp_path: Path) -> None:
    home = tmp_path / "home"
    with mounted(home, "-o", "ro,mode=0700"):
        env = {**os.environ, "RAYDP_WRAP_HOME": str(home)}
        said = refused(wrap.run("--", "touch", f"{tmp_path}/started", env=env))
        assert "Read-only" in said
        env["RAYDP_WRAP_HOME"] = str(home / "deeper")
        assert "Read-only" in refused(wrap.run("--", "touch", f"{tmp_path}/started", env=env))
    assert not (tmp_path / "started").exists()


def test_a_full_state_directory(wrap: Wrap, tmp_path: Path) -> None:
    home = tmp_path / "home"
    with mounted(home, "-o", "size=64k,mode=0700"):
        with open(home / "filler", "wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(b"x" * 4096):
                pass
        env = {**os.environ, "RAYDP_WRAP_HOME": str(home)}
        said = refused(wrap.run("--report", str(wrap.report), "--", "touch", f"{tmp_path}/started", env=env))
        assert "full" in said
        assert not (home / "run").exists() or not any((home / "run").iterdir())
    assert listing(tmp_path) == ["home"]


def test_without_a_home_the_run_goes_on(wrap: Wrap, tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir(mode=0o700)
    base = {name: value for name, value in os.environ.items() if name not in ("RAYDP_WRAP_HOME", "XDG_STATE_HOME")}
    read_only = tmp_path / "read-only"
    with mounted(read_only, "-o", "ro"):
        for home in (str(read_only), "/dev/null", str(tmp_path / "nowhere")):
            env = {**base, "HOME": home, "TMPDIR": str(temporary)}
            done = wrap.run("--", "sh", "-c", "echo ran", env=env, cwd=tmp_path)
            assert (done.returncode, done.stdout, done.stderr) == (0, b"ran\n", b""), home
    assert (temporary / f"raydp-wrap-{os.geteuid()}").is_dir()


@pytest.mark.parametrize("umask", [0o000, 0o002, 0o027, 0o077])
def test_what_it_makes_is_private_under_any_umask(wrap: Wrap, tmp_path: Path, umask: int) -> None:
    home = tmp_path / "a" / "b" / "c"
    wrapped = shlex.join(str(word) for word in wrap.argv("--", "true"))
    env = {**os.environ, "RAYDP_WRAP_HOME": str(home)}
    done = subprocess.run(
        ["sh", "-c", f"umask {umask:04o}; {wrapped}"], check=False, capture_output=True, timeout=60, env=env
    )
    assert (done.returncode, done.stderr) == (0, b"")
    for path in (home, home.parent, home.parent.parent):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
