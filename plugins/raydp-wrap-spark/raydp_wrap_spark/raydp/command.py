"""The driver's command for Spark on Ray: RayDP's own SparkSubmit, with the confs where they belong."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from raydp_wrap.errors import UsageError

from raydp_wrap_spark.names import MAIN_CLASS
from raydp_wrap_spark.raydp.address import node_address
from raydp_wrap_spark.raydp.installation import spark_version

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from raydp_wrap_spark.options import Options
    from raydp_wrap_spark.raydp.installation import Installation

__all__ = ["Request", "driver_command", "driver_environment"]

# What Spark and Ray reach into, of Java's module java.base.
_OPENED = (
    "java.lang",
    "java.lang.invoke",
    "java.io",
    "java.net",
    "java.nio",
    "java.math",
    "java.text",
    "java.util",
    "java.util.concurrent",
    "java.util.concurrent.atomic",
    "sun.nio.ch",
    "sun.nio.cs",
    "sun.security.action",
    "sun.util.calendar",
)
_EXPORTED = ("sun.nio.ch",)
# The last Spark with log4j 1.
_LOG4J_1 = (3, 2)
_RAY_LOG4J_FILE = "log4j2.xml"
_AT_EXIT = str(Path(__file__).parent / "at_exit")


@dataclass(frozen=True, slots=True)
class Request:
    """One ``raydp-submit``: its arguments, read as OPTIONS; all CONFS of files and command line; Spark's ENV."""

    arguments: tuple[str, ...]
    options: Options
    confs: Mapping[str, str]
    env: Mapping[str, str]
    ray_conf: str | None = None

    def given(self, conf: str, *, option: str = "", variable: str = "") -> str:
        """Return what the user set by OPTION, else by CONF, else by VARIABLE; empty: nothing."""
        return self.options.value(option) or self.confs.get(conf) or self.env.get(variable, "")


def driver_command(java: str, installation: Installation, request: Request) -> list[str]:
    """Return what is to be executed, beginning with JAVA.

    RayDP's confs stand before the user's options, so that they are options whatever follows, and only where the
    user set none.

    Raises:
        UsageError: Java options whose quotes don't match.

    """
    return [
        java,
        "-cp",
        _class_path(installation, request),
        *([f"-Dray.config-file={request.ray_conf}"] if request.ray_conf else []),
        *_raydps_options(installation, request),
        *_users_options(request),
        MAIN_CLASS,
        "--master",
        "ray",
        *_confs(request),
        *request.arguments,
    ]


def driver_environment(request: Request) -> dict[str, str]:
    """Return the environment it is to be executed in."""
    env = dict(request.env)
    if libraries := request.given("spark.driver.extraLibraryPath", option="--driver-library-path"):
        env["LD_LIBRARY_PATH"] = ":".join(filter(None, (env.get("LD_LIBRARY_PATH"), libraries)))
    env["PYTHONPATH"] = ":".join(filter(None, (_AT_EXIT, env.get("PYTHONPATH"))))
    return env


def _class_path(installation: Installation, request: Request) -> str:
    home = request.env["SPARK_HOME"]
    preferred = [
        request.given("spark.preferClassPath"),
        request.given("spark.driver.extraClassPath", option="--driver-class-path"),
    ]
    return ":".join(
        [
            *filter(None, preferred),
            # Its SparkSubmit has to be found before Spark's.
            f"{installation.raydp}/jars/*",
            request.env.get("SPARK_CONF_DIR") or f"{home}/conf",
            f"{home}/jars/*",
            f"{installation.ray}/jars/*",
        ]
    )


def _raydps_options(installation: Installation, request: Request) -> Iterator[str]:
    version = spark_version(request.env["SPARK_HOME"])
    log4j = "log4j" if version is not None and version <= _LOG4J_1 else "log4j2"
    file = request.given("spark.log4j.config.file.name", variable="SPARK_LOG4J_CONFIG_FILE_NAME")
    yield f"-javaagent:{installation.agent}"
    yield f"-Dspark.ray.log4j.factory.class={log4j}"
    yield f"-D{log4j}.configurationFile={file or f'{log4j}-default.properties'}"
    yield f"-Dspark.javaagent={installation.agent}"
    # Java 8 knows no modules.
    yield "-XX:+IgnoreUnrecognizedVMOptions"
    yield from (f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED)
    yield from (f"--add-exports=java.base/{package}=ALL-UNNAMED" for package in _EXPORTED)


def _users_options(request: Request) -> Iterator[str]:
    # What spark-submit honours in client mode, where the driver's JVM is the one that is started here.
    for text in (
        request.env.get("SPARK_SUBMIT_OPTS", ""),
        request.given("spark.driver.defaultJavaOptions"),
        request.given("spark.driver.extraJavaOptions", option="--driver-java-options"),
    ):
        try:
            yield from shlex.split(text)
        except ValueError as error:
            raise UsageError("the driver's Java options end inside a quotation: close it.") from error
    if memory := request.given("spark.driver.memory", option="--driver-memory", variable="SPARK_DRIVER_MEMORY"):
        yield f"-Xmx{memory}"


def _confs(request: Request) -> Iterator[str]:
    def unless_set(name: str, value: str) -> Iterator[str]:
        if name not in request.confs:
            yield from ("--conf", f"{name}={value}")

    address = request.env.get("RAY_DRIVER_NODE_IP") or node_address()
    file = request.env.get("RAY_LOG4J_CONFIG_FILE_NAME") or _RAY_LOG4J_FILE
    yield from unless_set("spark.ray.log4j.config.file.name", file)
    yield from unless_set("spark.driver.host", address)
    yield from unless_set("spark.driver.bindAddress", address)
