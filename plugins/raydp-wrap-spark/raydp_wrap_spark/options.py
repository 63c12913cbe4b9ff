"""spark-submit's command line as Spark reads it: options, the application, and the application's arguments."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["SWITCHES", "WITH_VALUE", "Options"]

_LOAD_DEFAULTS = "--load-spark-defaults"
_INFORMATION = ("--help", "--version")
_ALIASES = {"-c": "--conf", "-h": "--help", "-v": "--verbose"}

SWITCHES = frozenset({*_INFORMATION, _LOAD_DEFAULTS, "--supervise", "--usage-error", "--verbose"})
WITH_VALUE = frozenset(
    {
        "--archives",
        "--class",
        "--conf",
        "--deploy-mode",
        "--driver-class-path",
        "--driver-cores",
        "--driver-default-class-path",
        "--driver-java-options",
        "--driver-library-path",
        "--driver-memory",
        "--exclude-packages",
        "--executor-cores",
        "--executor-memory",
        "--extra-properties-file",
        "--files",
        "--jars",
        "--keytab",
        "--kill",
        "--master",
        "--name",
        "--num-executors",
        "--packages",
        "--principal",
        "--properties-file",
        "--proxy-user",
        "--py-files",
        "--queue",
        "--remote",
        "--repositories",
        "--status",
        "--total-executor-cores",
    }
)
# Java's "." matches no line end.
_JOINED = re.compile("(--[^=]+)=([^\n\r\x85\u2028\u2029]+)")

# Spark's own applications, whose arguments may stand between spark-submit's options: by the first word, and
# by the class.
_SHELLS = frozenset({"pyspark-shell-main", "sparkr-shell-main"})
_CLASSES = {
    "org.apache.spark.repl.Main": "spark-shell",
    "org.apache.spark.sql.application.ConnectRepl": "connect-shell",
    "org.apache.spark.sql.connect.service.SparkConnectServer": "spark-internal",
    "org.apache.spark.sql.hive.thriftserver.HiveThriftServer2": "spark-internal",
    "org.apache.spark.sql.hive.thriftserver.SparkSQLCLIDriver": "spark-internal",
}
_EXAMPLE = "run-example"


class Options:
    """One command line; nothing of the application's own arguments counts as an option.

    ``resource`` is the application (a file, or Spark's word for one of its own), None if there is none.
    ``arguments`` are the application's. ``end`` is the index of the first word behind the options: what is
    inserted there is an option, too, and comes after all others. An option that Spark doesn't know ends them, and
    Spark will refuse it.
    """

    resource: str | None
    arguments: tuple[str, ...]
    end: int

    def __init__(self, argv: Sequence[str]) -> None:
        self._given: list[tuple[str, str]] = []
        self.resource = argv[0] if argv and argv[0] in _SHELLS else None
        skipped = 1 if argv and argv[0] in {*_SHELLS, _EXAMPLE} else 0
        mixed: list[str] = []
        at = skipped
        while at < len(argv):
            joined = _JOINED.fullmatch(argv[at])
            name, value = joined.groups() if joined else (argv[at], None)
            name = _ALIASES.get(name, name)
            if name in WITH_VALUE:
                if value is None:
                    at += 1
                    value = argv[at] if at < len(argv) else ""
                self._given.append((name, value))
                if name == "--class" and value in _CLASSES:
                    self.resource = _CLASSES[value]
            elif name in SWITCHES:
                self._given.append((name, ""))
            elif self.resource is not None:
                mixed.append(name)
            else:
                break
            at += 1
        self.end = min(at, len(argv))
        rest = argv[self.end :]
        if self.resource is None and rest and not rest[0].startswith("-"):
            self.resource, rest = rest[0], rest[1:]
        self.arguments = (*mixed, *rest)

    @property
    def master(self) -> str | None:
        """The last ``--master``, else the last ``--conf spark.master=…``, else None."""
        return self._value_or_conf("--master", "spark.master")

    @property
    def deploy_mode(self) -> str | None:
        """The last ``--deploy-mode``, else the last ``--conf spark.submit.deployMode=…``, else None."""
        return self._value_or_conf("--deploy-mode", "spark.submit.deployMode")

    @property
    def confs(self) -> dict[str, str]:
        """Every ``--conf NAME=VALUE``; of one name the last."""
        pairs = (value.partition("=") for given, value in self._given if given == "--conf")
        return {name: value for name, _, value in pairs}

    @property
    def name(self) -> str:
        """What to call the application before Spark does: ``--name``, ``spark.app.name``, or its file; "" is none."""
        return self._value_or_conf("--name", "spark.app.name") or os.path.basename(self.resource or "")

    @property
    def properties_file(self) -> str | None:
        """The last ``--properties-file``, or None."""
        return self.value("--properties-file")

    @property
    def loads_defaults(self) -> bool:
        """Whether spark-defaults.conf is read besides a ``--properties-file``."""
        return self.has(_LOAD_DEFAULTS)

    @property
    def wants_no_master(self) -> bool:
        """Whether only information is asked for: ``--help`` or ``--version``."""
        return any(self.has(name) for name in _INFORMATION)

    def has(self, name: str) -> bool:
        """Whether the option NAME is given (``--conf``, not ``-c``), with a value or as a switch."""
        return any(given == name for given, _ in self._given)

    def value(self, name: str) -> str | None:
        """Return the last value of the option NAME, or None if it isn't given. Empty if the command line ends there."""
        values = [value for given, value in self._given if given == name]
        return values[-1] if values else None

    def _value_or_conf(self, option: str, conf: str) -> str | None:
        value = self.value(option)
        return value if value is not None else self.confs.get(conf)
