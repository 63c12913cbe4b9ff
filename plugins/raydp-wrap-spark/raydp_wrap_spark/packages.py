"""Where a Python has its packages: this one, or another that is asked, without importing any of them."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from raydp_wrap.errors import StartError
from raydp_wrap.process import DEVNULL, PIPE, Process

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["is_this_python", "origins_in", "own_origins"]

# Run by another Python, of any version. Unlike a script, -c has the current directory on its path: a
# directory named as a package there is not the package.
_WHERE = """
import importlib.util, os, sys
sys.path = [path for path in sys.path if path]
for name in sys.argv[1:]:
    found = importlib.util.find_spec(name)
    sys.stdout.buffer.write(b"\\0" + os.fsencode(found.origin if found and found.origin else ""))
"""


def is_this_python(command: str, env: Mapping[str, str]) -> bool:
    """Whether COMMAND (a program and its options) is the interpreter that runs this."""
    path = _program(command, env)
    # Not by realpath alone: every virtual environment's python3 may be a link to the same file.
    return (
        path is not None
        and len(command.split()) == 1
        and Path(path).absolute().parent == Path(sys.executable).parent
        and Path(path).samefile(sys.executable)
    )


def own_origins(names: Iterable[str]) -> dict[str, str]:
    """Return the file of each package in NAMES that this Python has."""
    found = {}
    for name in names:
        try:
            spec = importlib.util.find_spec(name)
        except (ImportError, ValueError):
            continue
        if spec is not None and spec.origin:
            found[name] = spec.origin
    return found


def origins_in(command: str, names: Iterable[str], env: Mapping[str, str]) -> dict[str, str]:
    """Return the same of the Python COMMAND, which is started in ENV; nothing if that can't be done."""
    path = _program(command, env)
    if path is None:
        return {}
    names = tuple(names)
    try:
        python = Process(
            [path, *command.split()[1:], "-c", _WHERE, *names],
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=DEVNULL,
            env=env,
            death_signal=signal.SIGKILL,
        )
    except StartError:
        return {}
    with python:
        output, _ = python.communicate()
    if python.returncode != 0:
        return {}
    # What a sitecustomize prints comes before.
    _, *files = os.fsdecode(output).split("\0")
    return {name: file for name, file in zip(names, files[-len(names) :], strict=False) if file}


def _program(command: str, env: Mapping[str, str]) -> str | None:
    words = command.split()
    return shutil.which(words[0], path=env.get("PATH", os.defpath)) if words else None
