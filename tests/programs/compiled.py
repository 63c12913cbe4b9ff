"""Compiles the C programs beside this file, once a test run."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
CSRC = HERE.parent.parent / "csrc"

TINY = ("-nostdlib", "-ffreestanding", "-fno-stack-protector", "-static", "-Wl,-z,noseparate-code", "-s")
STATIC = ("-static",)
SHARED = ("-shared", "-fPIC")


@functools.cache
def _directory() -> Path:
    path = Path(tempfile.mkdtemp(prefix="raydp-programs-"))
    path.chmod(0o755)  # some tests run them as another user
    owner = os.getpid()

    def remove() -> None:
        if os.getpid() == owner:  # forked children run exit handlers as well
            shutil.rmtree(path, ignore_errors=True)

    atexit.register(remove)
    return path


@functools.cache
def compiled(name: str, *flags: str) -> str:
    """The path of NAME.c, compiled with FLAGS."""
    out = _directory() / str(len(os.listdir(_directory()))) / name
    out.parent.mkdir()
    cc = os.environ.get("CC", "cc").split()
    command = [*cc, "-O1", "-Wall", "-Wextra", "-Werror", f"-I{CSRC}", "-o", str(out), str(HERE / f"{name}.c"), *flags]
    subprocess.run(command, check=True)
    return str(out)


def tiny() -> str:
    """A program without libc: quick to start, so that thousands are cheap. See tiny.c."""
    return compiled("tiny", *TINY)


def show() -> str:
    """A program that tells what it was given. See show.c."""
    return compiled("show", *STATIC)
