"""Where RayDP, Ray and their Spark are installed, found without importing any of them."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from raydp_wrap.errors import UsageError

from raydp_wrap_spark.errors import RaydpNotFoundError
from raydp_wrap_spark.home import home_of_package
from raydp_wrap_spark.packages import is_this_python, origins_in, own_origins

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Installation", "check_spark", "find_installation", "spark_version"]

_VARIABLES = {"raydp": "RAYDP_HOME", "ray": "RAY_HOME", "pyspark": "SPARK_HOME"}
_REQUIRES = re.compile(r"^Requires-Dist: pyspark(?![\w.-])(.*)$", re.MULTILINE)
_BOUND = re.compile(r"([<>])=?\s*((\d+)\.(\d+)[\d.]*)")
_CORE = re.compile(r"spark-core_[\d.]+-(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True)
class Installation:
    """The directories that RayDP's script calls RAYDP_HOME and RAY_HOME, and RayDP's agent.

    ``variables`` are to be added to the environment: SPARK_HOME, unless it is set or RayDP's Python has no Spark,
    and PYSPARK_PYTHON where only this Python has RayDP.
    """

    raydp: str
    ray: str
    agent: str
    variables: dict[str, str] = field(default_factory=dict)


def find_installation(env: Mapping[str, str]) -> Installation | None:
    """Return where RayDP is, or None: it is not installed.

    RAYDP_HOME, RAY_HOME and SPARK_HOME are taken as they are. The others are packages of the application's
    Python: PYSPARK_DRIVER_PYTHON, else PYSPARK_PYTHON, else ``python3``; and where that has no RayDP, of this one.

    Raises:
        RaydpNotFoundError: RayDP is there, and Ray or a part of RayDP is not.

    """
    wanted = [name for name, variable in _VARIABLES.items() if not env.get(variable)]
    named = env.get("PYSPARK_DRIVER_PYTHON") or env.get("PYSPARK_PYTHON")
    variables = {}
    found: dict[str, str] = {}
    if "raydp" in wanted or "ray" in wanted:
        python = named or "python3"
        ours = is_this_python(python, env)
        found = own_origins(wanted) if ours else origins_in(python, wanted, env)
        if "raydp" in wanted and "raydp" not in found and not ours:
            found = own_origins(wanted)
            if "raydp" in found and not named:
                variables["PYSPARK_PYTHON"] = sys.executable
    homes = {name: env.get(variable) or _directory(found.get(name)) for name, variable in _VARIABLES.items()}
    if not homes["raydp"]:
        return None
    if not env.get("SPARK_HOME") and (spark := home_of_package(found.get("pyspark"))):
        variables["SPARK_HOME"] = spark
    agents = sorted(Path(homes["raydp"], "jars").glob("raydp-agent*.jar"))
    if not agents:
        raise RaydpNotFoundError(f"RayDP's directory {homes['raydp']!r} has no jars/raydp-agent-*.jar: reinstall it.")
    if not homes["ray"] or not any(Path(homes["ray"], "jars").glob("*.jar")):
        raise RaydpNotFoundError(
            "RayDP is installed, and Ray with its Java part (the directory jars of the package ray) is not: "
            'pip install "ray[default]" in the same environment, or set RAY_HOME.'
        )
    return Installation(homes["raydp"], homes["ray"], str(agents[0]), variables)


def spark_version(spark_home: str) -> tuple[int, int] | None:
    """Return the version of the Spark in SPARK_HOME by the names of its jars, as (3, 5); None if they don't tell."""
    for jar in Path(spark_home, "jars").glob("spark-core_*.jar"):
        if match := _CORE.match(jar.name):
            return int(match[1]), int(match[2])
    return None


def check_spark(installation: Installation, spark_home: str) -> None:
    """Refuse a Spark that RayDP says it can't use.

    Raises:
        UsageError: its major and minor version are outside what RayDP's package requires.

    """
    version = spark_version(spark_home)
    required = _required(installation.raydp)
    for sign, text, major, minor in _BOUND.findall(required):
        bound = (int(major), int(minor))
        if version is not None and (version > bound if sign == "<" else version < bound):
            raise UsageError(
                f"RayDP can't use the Spark {version[0]}.{version[1]} in {spark_home!r}: "
                f'pip install "pyspark{sign}={text}" in an environment with raydp, and unset SPARK_HOME.'
            )


def _required(raydp: str) -> str:
    for file in Path(raydp).parent.glob("raydp-*.dist-info/METADATA"):
        if match := _REQUIRES.search(file.read_text(encoding="utf-8", errors="replace")):
            return match[1]
    return ""


def _directory(origin: str | None) -> str | None:
    return str(Path(origin).absolute().parent) if origin else None
