"""Where a Python has its packages: this one, or another that is asked, without importing any of them."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from raydp_wrap.errors import StartError
from raydp_wrap.process import DEVNULL, PIPE, Process

from raydp_wrap_spark.asked_pythons import PROGRAM, question, read

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from raydp_wrap_spark.asked_pythons import Said

__all__ = ["is_this_python", "origins_in", "own_origins"]


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
    """Return the same of the Python COMMAND, which is started in ENV; nothing if that can't be done.

    It isn't started again where its last answer is kept and would be the same.
    """
    path = _program(command, env)
    if path is None:
        return {}
    names, options = tuple(names), command.split()[1:]
    asked = question(path, options, names, env)
    if asked is not None and (known := asked.recall()) is not None:
        return known
    began = time.time_ns()
    said = _ask([path, *options, "-c", PROGRAM, *names], env)
    if said is None or len(said.origins) != len(names):
        return {}
    if asked is not None:
        asked.keep(said, began)
    return {name: file for name, file in zip(names, said.origins, strict=True) if file}


def _ask(argv: Sequence[str], env: Mapping[str, str]) -> Said | None:
    try:
        python = Process(argv, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL, env=env, death_signal=signal.SIGKILL)
    except StartError:
        return None
    with python:
        output, _ = python.communicate()
    return None if python.returncode else read(output)


def _program(command: str, env: Mapping[str, str]) -> str | None:
    words = command.split()
    return shutil.which(words[0], path=env.get("PATH", os.defpath)) if words else None
