"""Spark's launcher is asked once: its answer is kept, and given again as long as nothing it depends on has changed.

The launcher reads its options, some variables, some files, and what jars there are; the application and its arguments
it hands on as they are. So an answer is kept without these, under a hash of all the others. Of the options' values,
which may be secret, it holds only where they stand; an answer with other words that might be secret isn't kept.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raydp_wrap.errors import UsageError

from raydp_wrap_spark import kept_answers
from raydp_wrap_spark.faststart.command import JAVA_VARIABLES
from raydp_wrap_spark.faststart.errors import UnfitError
from raydp_wrap_spark.faststart.jvm import identify
from raydp_wrap_spark.faststart.place import place
from raydp_wrap_spark.options import Options

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["VARIABLES", "Question", "question"]

_FORMAT = "1"
#: All that the launcher may read.
VARIABLES = (
    "HADOOP_CONF_DIR",
    "JAVA_HOME",
    "LD_LIBRARY_PATH",
    "MASTER",
    "PYSPARK_DRIVER_PYTHON",
    "PYSPARK_DRIVER_PYTHON_OPTS",
    "PYSPARK_PYTHON",
    "PYSPARK_SUBMIT_ARGS",
    "R_PROFILE_USER",
    "SHELL",
    "SPARKR_DRIVER_R",
    "SPARKR_SUBMIT_ARGS",
    "SPARK_API_MODE",
    "SPARK_BEELINE_MEMORY",
    "SPARK_BEELINE_OPTS",
    "SPARK_CONF_DIR",
    "SPARK_CONNECT_BEELINE",
    "SPARK_CONNECT_MODE",
    "SPARK_CONNECT_MODE_ENABLED",
    "SPARK_DAEMON_CLASSPATH",
    "SPARK_DAEMON_JAVA_OPTS",
    "SPARK_DAEMON_MEMORY",
    "SPARK_DIST_CLASSPATH",
    "SPARK_DRIVER_MEMORY",
    "SPARK_EXECUTOR_MEMORY",
    "SPARK_EXECUTOR_OPTS",
    "SPARK_HISTORY_OPTS",
    "SPARK_HOME",
    "SPARK_JAVA_OPTS",
    "SPARK_LAUNCHER_OPTS",
    "SPARK_MASTER_OPTS",
    "SPARK_MEM",
    "SPARK_PREPEND_CLASSES",
    "SPARK_PRINT_LAUNCH_COMMAND",
    "SPARK_REMOTE",
    "SPARK_SCALA_SHELL",
    "SPARK_SCALA_VERSION",
    "SPARK_SHUFFLE_OPTS",
    "SPARK_SQL_TESTING",
    "SPARK_SUBMIT_OPTS",
    "SPARK_TESTING",
    "SPARK_WORKER_OPTS",
    "YARN_CONF_DIR",
    # How it reads and writes characters.
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
)
# With these it prints something, or looks at more than we do.
_DOUBTFUL_VARIABLES = (
    *JAVA_VARIABLES,
    "SPARK_PREPEND_CLASSES",
    "SPARK_PRINT_LAUNCH_COMMAND",
    "SPARK_SQL_TESTING",
    "SPARK_TESTING",
)
# Words and classes of Spark's own shells, whose arguments may be options of spark-submit's.
_SHELLS = frozenset(
    (
        "connect-shell",
        "pyspark-shell",
        "pyspark-shell-main",
        "run-example",
        "spark-internal",
        "spark-shell",
        "sparkr-shell",
        "sparkr-shell-main",
    )
)
_SPARKS_CLASS = "org.apache.spark."
# With these nothing is submitted, or by other rules.
_OTHER_REQUESTS = ("--help", "--kill", "--remote", "--status", "--usage-error", "--version")
_HARMLESS = re.compile(
    r"-cp|-Xmx\d+[kKmMgGtT]?|-XX:[+-]\w+|--add-(modules|opens|exports|reads)=[\w./,=-]+"
    r"|--sun-misc-unsafe-memory-access=\w+|--enable-native-access=[\w.,-]+|--[a-z][a-z-]*|org\.apache\.spark\.[\w.$]+"
    r"|-D(io\.netty|jdk\.reflect|derby)\.[\w.]+=(true|false|pooled|NONE|\d)"
)


@dataclass(frozen=True, slots=True)
class Question:
    """A command line: its OPTIONS, and its TAIL (application and arguments). KEY names what the answer depends on."""

    directory: Path
    key: str
    options: tuple[str, ...]
    tail: tuple[str, ...]

    def recall(self) -> list[str] | None:
        """The launcher's answer, if it is known."""
        try:
            head = [self._filled(word) for word in kept_answers.recall(self.directory, self.key)["head"]]
        except (ValueError, KeyError, TypeError, IndexError):
            return None
        return [*head, *self.tail] if head else None

    def keep(self, answer: Sequence[str]) -> None:
        """Keep ANSWER, where that is right and possible."""
        head, tail = answer[: -len(self.tail)], tuple(answer[-len(self.tail) :])
        if tail != self.tail or not head:
            return
        template = [self._emptied(word, before) for before, word in zip(("", *head), head, strict=False)]
        if None not in template:
            kept_answers.keep(self.directory, self.key, {"head": template})

    def _emptied(self, word: str, before: str) -> str | list[int] | None:
        """WORD as it may lie on disk: where it stands in the options, or itself; None: not at all."""
        for index, option in enumerate(self.options):
            start = option.find(word)
            if word and start >= 0:
                return [index, start, start + len(word)]
        return word if not before or before == "-cp" or _HARMLESS.fullmatch(word) else None

    def _filled(self, word: Any) -> str:
        if isinstance(word, str):
            return word
        index, start, end = map(int, word)
        return self.options[index][start:end]


def question(java: str, argv: Sequence[str], env: Mapping[str, str]) -> Question | None:
    """What the launcher, run by JAVA, is asked by ``spark-submit ARGV``; None: it has to be asked itself.

    ENV is ``spark_environment``'s.
    """
    options = Options(argv)
    given, tail = tuple(argv[: options.end]), tuple(argv[options.end :])
    doubtful = (
        options.resource is None
        or options.resource != next(iter(tail), None)
        or not _SHELLS.isdisjoint((argv[0], options.resource))
        or (options.value("--class") or "").startswith(_SPARKS_CLASS)
        or any(options.has(name) for name in _OTHER_REQUESTS)
        or any(env.get(name) for name in _DOUBTFUL_VARIABLES)
    )
    if doubtful:
        return None
    try:
        depends = [_FORMAT, java, identify(java).identity, given, [env.get(name) for name in VARIABLES]]
        text = json.dumps([*depends, list(_seen(given, env))])
        key = hashlib.sha256(text.encode()).hexdigest()[:32]
        return Question(place(env, "answers"), key, given, tail)
    except (OSError, UnfitError, UsageError):
        return None


def _seen(options: Sequence[str], env: Mapping[str, str]) -> Iterator[Any]:
    """Everything the launcher may look at below SPARK_HOME, and in conf files."""
    home = env["SPARK_HOME"]
    conf = env.get("SPARK_CONF_DIR") or f"{home}/conf"
    jars = f"{home}/jars"
    # In the directory's own order: of two that serve, the launcher takes the first.
    names = os.listdir(jars)
    yield names
    for name in names:
        if name.startswith("spark-launcher_"):
            found = os.stat(f"{jars}/{name}")
            yield found.st_size, found.st_mtime_ns
    yield os.listdir(f"{jars}/connect-repl") if os.path.isdir(f"{jars}/connect-repl") else None
    for file in (f"{conf}/spark-defaults.conf", f"{conf}/java-opts", *_properties_files(options)):
        yield hashlib.sha256(Path(file).read_bytes()).hexdigest() if os.path.isfile(file) else None


def _properties_files(options: Sequence[str]) -> Iterator[str]:
    for word, following in zip(options, (*options[1:], ""), strict=False):
        name, joined, value = word.partition("=")
        if name in {"--properties-file", "--extra-properties-file"}:
            yield value if joined else following
