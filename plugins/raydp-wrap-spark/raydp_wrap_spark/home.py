"""Where Spark is: SPARK_HOME, or a distribution on PATH, or the pyspark package of the right Python."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from raydp_wrap_spark.errors import SparkNotFoundError
from raydp_wrap_spark.packages import is_this_python, origins_in, own_origins

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["find_spark_home", "home_of_package"]


def find_spark_home(env: Mapping[str, str]) -> dict[str, str]:
    """Return what to add to ENV so that it names a Spark: nothing, SPARK_HOME, or that and PYSPARK_PYTHON.

    A SPARK_HOME that is set is taken as it is. Next comes the distribution whose spark-submit is the first on
    PATH; then the pyspark package of PYSPARK_DRIVER_PYTHON, else PYSPARK_PYTHON, else ``python3``. Where
    spark-submit gives up, the pyspark beside this package is used, and the application gets this Python
    unless the user has named one.

    Raises:
        SparkNotFoundError: nothing of this is a Spark.

    """
    if env.get("SPARK_HOME"):
        home = env["SPARK_HOME"]
        if not Path(home, "bin", "spark-class").is_file():
            raise SparkNotFoundError(
                f"SPARK_HOME is {home!r}, and there is no Spark in it: correct it, or unset it "
                'and pip install "raydp-wrap-spark[pyspark]".'
            )
        return {}
    if found := _distribution_on_path(env):
        return {"SPARK_HOME": found}
    named = env.get("PYSPARK_DRIVER_PYTHON") or env.get("PYSPARK_PYTHON")
    if found := home_of_package(_pyspark_of(named or "python3", env)):
        return {"SPARK_HOME": found}
    if found := home_of_package(_own_pyspark()):
        return {"SPARK_HOME": found} if named else {"SPARK_HOME": found, "PYSPARK_PYTHON": sys.executable}
    raise SparkNotFoundError(
        'Spark was not found: pip install "raydp-wrap-spark[pyspark]", or set SPARK_HOME to where Spark is.'
    )


def _is_spark_home(path: Path) -> bool:
    return Path(path, "bin", "spark-submit").is_file() and (
        Path(path, "jars").is_dir() or Path(path, "assembly").is_dir()
    )


def _distribution_on_path(env: Mapping[str, str]) -> str | None:
    for directory in env.get("PATH", os.defpath).split(os.pathsep):
        script = Path(directory, "spark-submit")
        if not (directory and os.access(script, os.X_OK)):
            continue
        # By its name first, as Spark's scripts do: /opt/spark may be a link, and stay what it is called by.
        for place in (Path(os.path.abspath(directory)), script.resolve().parent):
            if Path(place, "find_spark_home.py").is_file():
                return None  # pip's copy, which asks a Python; so do we
            if _is_spark_home(place.parent):  # else it only has the name: a shim, perhaps our own
                return str(place.parent)
    return None


def _pyspark_of(command: str, env: Mapping[str, str]) -> str | None:
    return _own_pyspark() if is_this_python(command, env) else origins_in(command, ["pyspark"], env).get("pyspark")


def _own_pyspark() -> str | None:
    return own_origins(["pyspark"]).get("pyspark")


def home_of_package(origin: str | None) -> str | None:
    """Return the Spark of the pyspark package whose file is ORIGIN, or None."""
    if not origin:
        return None
    package = Path(origin).absolute().parent
    # A distribution that pip downloaded beside the package (PYSPARK_HADOOP_VERSION), the package itself, and
    # the source tree of an editable install.
    for home in (package / "spark-distribution", package, package.parent.parent):
        if _is_spark_home(home):
            return str(home)
    return None
