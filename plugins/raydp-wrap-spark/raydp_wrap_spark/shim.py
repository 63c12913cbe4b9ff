"""``raydp-wrap shim``: commands with Spark's names, for tools that call spark-submit by name.

A shim becomes the fast face of this Python by exec, so its pid is the caller's child. It calls no other program of
its own name: Spark's launcher is started directly, and a file that is no part of a Spark is never taken for one.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click
from raydp_wrap.errors import UsageError

from raydp_wrap_spark.home import find_spark_home

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["NAMES", "command", "install", "install_home", "remove", "remove_home", "script"]

#: What a shim is called, and which tool's command line it takes.
NAMES = {
    "spark-submit": "spark-submit",
    "spark2-submit": "spark-submit",
    "spark3-submit": "spark-submit",
    "raydp-submit": "raydp-submit",
}
_MARK = "# raydp-wrap shim"
_IMPORTS = {
    "spark-submit": "import sys; sys.argv.insert(1, 'spark-submit'); from raydp_wrap.cli import main",
    "raydp-submit": "from raydp_wrap.cli.submit import raydp_submit as main",
}
# -E: PYTHONPATH, PYTHONHOME and the like are meant for the application. For the same reason neither the shim's
# directory nor the current one is looked into.
_OPTION = "-E"
_BODY = "import os, sys; del sys.path[0]; {home}{imports}; sys.exit(main())"
# Kernels before 5.1 cut the first line here; and what follows its first blank is one argument.
_LONGEST_FIRST_LINE = 127
_PLAIN = re.compile(r"[!-~]+")


def script(tool: str, python: str = sys.executable, spark_home: str | None = None) -> bytes:
    """A program that becomes TOOL's face in PYTHON; SPARK_HOME is what it sets where there is none."""
    home = f"os.environ['SPARK_HOME'] = os.environ.get('SPARK_HOME') or {spark_home!a}; " if spark_home else ""
    return _program(python, _BODY.format(home=home, imports=_IMPORTS[tool]))


def _program(python: str, body: str) -> bytes:
    first = f"#!{python} {_OPTION}"
    if _PLAIN.fullmatch(python) and len(first) <= _LONGEST_FIRST_LINE:
        return f"{first}\n{_MARK}\n{body}\n".encode()
    # No path that holds a blank, or is longer, can stand in a first line. The shell, too, is replaced by exec.
    return os.fsencode(f'#!/bin/sh\n{_MARK}\nexec {shlex.quote(python)} {_OPTION} -c {shlex.quote(body)} "$@"\n')


def install(directory: Path) -> list[Path]:
    """Put the shims into DIRECTORY, which is made if it is missing; those that are there are replaced.

    Raises:
        UsageError: DIRECTORY is a Spark's, or something else there has one of the names. Nothing is changed.
        OSError: it can't be written to.

    """
    _check_python()
    if os.pathsep in str(directory):
        raise UsageError(f"{str(directory)!r} holds a colon and so can't be on PATH: name another directory.")
    if (directory / "spark-class").exists():
        raise UsageError(f"{str(directory)!r} is a Spark's own: name another directory, and put it first on PATH.")
    paths = [directory / name for name in NAMES]
    for path in paths:
        if os.path.lexists(path) and not _is_ours(path):
            raise UsageError(f"{str(path)!r} is there and no shim: remove it, or name another directory.")
    directory.mkdir(parents=True, exist_ok=True)
    for path in paths:
        _write(path, script(NAMES[path.name]))
    return paths


def install_home(directory: Path, real: Path) -> list[Path]:
    """Make DIRECTORY a SPARK_HOME: links to all that REAL has, except ``bin/spark-submit``, which is a shim.

    Raises:
        UsageError: DIRECTORY holds something that is none of it. Nothing is changed.
        OSError: it can't be written to.

    """
    _check_python()
    if directory.resolve() == real.resolve():
        raise UsageError(f"{str(directory)!r} is the Spark that is to be behind it: name another directory.")
    if not _is_overlay(directory) and os.path.lexists(directory) and any(directory.iterdir()):
        raise UsageError(f"{str(directory)!r} is there and not empty: name a new directory.")
    remove_home(directory)
    bin_directory = directory / "bin"
    bin_directory.mkdir(parents=True)
    # The shim first: it tells whose the directory is, however far this comes.
    shim = bin_directory / "spark-submit"
    _write(shim, script("spark-submit", spark_home=str(directory.absolute())))
    for entry in real.iterdir():
        if entry.name != "bin":
            (directory / entry.name).symlink_to(entry.absolute())
    for entry in (real / "bin").iterdir():
        if entry.name != "spark-submit":
            (bin_directory / entry.name).symlink_to(entry.absolute())
    return [shim]


def remove(directory: Path) -> list[Path]:
    """Remove the shims in DIRECTORY, and nothing else; those that were there.

    Raises:
        OSError: they can't be removed.

    """
    found = [path for name in NAMES if _is_ours(path := directory / name)]
    for path in found:
        path.unlink()
    return found


def remove_home(directory: Path) -> list[Path]:
    """Remove what :func:`install_home` made of DIRECTORY, if it is that; its shim.

    Raises:
        OSError: it can't be removed, or something was added to it.

    """
    shim = directory / "bin" / "spark-submit"
    if not _is_overlay(directory):
        return []
    for place in (directory, directory / "bin"):
        for entry in place.iterdir():
            if entry.is_symlink():
                entry.unlink()
    shim.unlink()
    (directory / "bin").rmdir()
    directory.rmdir()
    return [shim]


def _is_overlay(directory: Path) -> bool:
    places = (directory, directory / "bin")
    return not any(place.is_symlink() for place in places) and _is_ours(directory / "bin" / "spark-submit")


def _is_ours(path: Path) -> bool:
    with suppress(OSError):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                return _MARK.encode() in file.read(4096).split(b"\n")[:2]
    return False


def _write(path: Path, data: bytes) -> None:
    fd, temporary = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with open(fd, "wb") as file:
            file.write(data)
            os.fchmod(fd, 0o755)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _check_python() -> None:
    """Raise UsageError where this Python finds us by PYTHONPATH only, which the shims don't read."""
    program = "import sys; del sys.path[0]; import raydp_wrap.cli, raydp_wrap_spark"
    started = subprocess.run([sys.executable, _OPTION, "-c", program], stderr=subprocess.DEVNULL, check=False)
    if started.returncode:
        raise UsageError(
            "raydp_wrap is found by PYTHONPATH only, which shims don't read, for it is the application's: "
            "pip install raydp-wrap-spark into an environment, and make them with its raydp-wrap."
        )


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(os.fsencode(line))  # a path is bytes


@click.command(
    "shim",
    epilog="Put DIR first on PATH. Spark is found as by spark-submit: SPARK_HOME, else a spark-submit "
    "further down PATH, else the pyspark package.",
)
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--remove", "removing", is_flag=True, help="Remove them from DIR instead, and nothing else.")
@click.option(
    "--spark-home",
    "as_home",
    is_flag=True,
    help="Make DIR a whole SPARK_HOME for tools that call $SPARK_HOME/bin/spark-submit: links to Spark, and the shim.",
)
def shim(directory: Path, *, removing: bool, as_home: bool) -> None:
    """Put spark-submit, spark2-submit, spark3-submit and raydp-submit into DIR.

    Tools that call them by name then run under a guard, and see nothing else that is new.
    """
    directory = directory.absolute()
    if removing:
        paths = remove_home(directory) if as_home else remove(directory)
        _say(f"removed {path}" for path in paths)
    elif as_home:
        paths = install_home(directory, Path({**os.environ, **find_spark_home(os.environ)}["SPARK_HOME"]))
        _say((*(f"made {path}" for path in paths), f"use it with: export SPARK_HOME={shlex.quote(str(directory))}"))
    else:
        paths = install(directory)
        _say((*(f"made {path}" for path in paths), f'use them with: export PATH={shlex.quote(str(directory))}:"$PATH"'))


def command() -> click.Command:
    """What ``raydp_wrap_commands`` brings as ``shim``."""
    return shim
