"""What of a JVM's command line an archive depends on."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from raydp_wrap_spark.faststart.errors import UnfitError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = ["JAVA_VARIABLES", "Shape", "shape_of"]

#: The JVM reads options from these, too.
JAVA_VARIABLES = ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS")
_CLASS_PATH = ("-cp", "-classpath", "--class-path")
_USERS_OWN = re.compile(
    r"-Xshare|-XX:[+-]?(SharedArchive|ArchiveClasses|DumpLoadedClassList|SharedClassList|AOT|AutoCreateShared"
    r"|RecordDynamicDump|DumpSharedSpaces|UseSharedSpaces|ArchiveRelocation)"
)
# They change classes or the way they are found, or hold options that can't be seen here.
_UNFIT = re.compile(
    r"-javaagent|-agent(lib|path)|-Xrun|-Xdebug|-Xbootclasspath|--patch-module|--upgrade-module-path|--limit-modules"
    r"|--module-path|-p$|-XX:(Flags|VMOptionsFile)=|-Djava\.system\.class\.loader=|@"
)
# Nothing of the archive depends on these, and so it serves whatever they say.
_INDIFFERENT = re.compile(
    r"-D|-Xlog|-verbose|-X(mx|ms|mn|ss)|-XX:(MaxHeapSize|InitialHeapSize|MinHeapSize|NewSize|MaxNewSize|ThreadStackSize"
    r"|OnOutOfMemoryError|HeapDumpPath|ErrorFile|MaxMetaspaceSize|MetaspaceSize|MaxDirectMemorySize"
    r"|ReservedCodeCacheSize)=|-XX:[+-](HeapDumpOnOutOfMemoryError|ExitOnOutOfMemoryError|CrashOnOutOfMemoryError)"
)
# What Spark itself sets, and its libraries look at before they decide which classes to use.
_SPARKS_OWN = re.compile(r"-D(io\.netty|jdk|derby)\.")
_MAX_HEAP = re.compile(r"(?:-Xmx|-XX:MaxHeapSize=)(\d+)([kKmMgGtT]?)")
_UNITS = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40}
_COMPRESSIBLE = 32 << 30


@dataclass(frozen=True, slots=True)
class Shape:
    """The part of a command that decides whether an archive fits.

    ``options`` do so; ``properties`` are Spark's own system properties, which a training run needs too. A LARGE
    heap has wide references.
    """

    class_path: str
    options: tuple[str, ...]
    properties: tuple[str, ...]
    large: bool
    variables: tuple[tuple[str, str], ...]


def shape_of(options: Sequence[str], env: Mapping[str, str]) -> Shape:
    """Tell what of a JVM's OPTIONS, and of ENV, an archive depends on.

    Raises:
        UnfitError: there must be none.

    """
    variables = tuple((name, env[name]) for name in JAVA_VARIABLES if env.get(name))
    class_path, kept, properties = "", [], []
    for option, value in _with_values(options):
        if option in _CLASS_PATH:
            class_path = value
        elif not _INDIFFERENT.match(option):
            kept += [option, value] if value else [option]
        elif _SPARKS_OWN.match(option):
            properties.append(option)
    everything = [*options, *(word for _, text in variables for word in text.split())]
    _refuse(everything)
    return Shape(class_path, tuple(kept), tuple(properties), _max_heap(everything) >= _COMPRESSIBLE, variables)


def _refuse(options: Iterable[str]) -> None:
    for option in options:
        if _USERS_OWN.match(option):
            raise UnfitError(f"the command has an option of this kind already ({option.partition('=')[0]})")
        if _UNFIT.match(option):
            raise UnfitError(f"an archive does not go with {re.split('[=:]', option)[0]}")


def _with_values(options: Sequence[str]) -> Iterator[tuple[str, str]]:
    words = iter(options)
    for word in words:
        takes_one = word in _CLASS_PATH or (word.startswith("--") and word[2:5] in {"add", "mod", "ena"})
        yield word, next(words, "") if takes_one and "=" not in word else ""


def _max_heap(options: Iterable[str]) -> int:
    found = [match for match in map(_MAX_HEAP.match, options) if match]
    if not found:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4
    return int(found[-1][1]) << _UNITS[found[-1][2].lower()]
