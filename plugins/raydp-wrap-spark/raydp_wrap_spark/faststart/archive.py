"""Which archive belongs to a JVM's command line, and the options that make the JVM use it."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from raydp_wrap.errors import UsageError
from raydp_wrap.settings import setting, switch

from raydp_wrap_spark.faststart import runs
from raydp_wrap_spark.faststart.cache import Cache
from raydp_wrap_spark.faststart.command import Shape, shape_of
from raydp_wrap_spark.faststart.errors import UnfitError
from raydp_wrap_spark.faststart.jvm import Build, identify, server_class

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = ["DEFAULT_SIZE", "Plan", "equip", "is_on", "plan_of", "size_limit", "use_options"]

DEFAULT_SIZE = 2 << 30
_FORMAT = "1"
_UNITS = {"k": 10, "m": 20, "g": 30, "t": 40}
# Where the archive was made for is where it is mapped: nothing in it has to be written to before it is used. The
# option is a diagnostic one, and those that the user gives stay as locked as they were.
_MAP_IN_PLACE = ("-XX:+UnlockDiagnosticVMOptions", "-XX:ArchiveRelocationMode=0", "-XX:-UnlockDiagnosticVMOptions")


@dataclass(frozen=True, slots=True)
class Plan:
    """One archive, whether it is there or not: its KEY, and what it takes to make it."""

    key: str
    java: str
    build: Build
    shape: Shape


def is_on(env: Mapping[str, str], settings: Mapping[str, str]) -> bool:
    """Whether archives are made and used, by ``jvm.cache``.

    Raises:
        UsageError: it is neither on nor off.

    """
    return switch("jvm.cache", env, settings, default=True)


def size_limit(env: Mapping[str, str], settings: Mapping[str, str]) -> int:
    """How many bytes all archives together may have, by ``jvm.cache.size``.

    Raises:
        UsageError: it is no size.

    """
    found = setting("jvm.cache.size", env, settings)
    if found is None:
        return DEFAULT_SIZE
    text = found[0].strip().lower().removesuffix("b")
    number, shift = (text[:-1], _UNITS[text[-1]]) if text[-1:] in _UNITS else (text, 0)
    if not number.isdecimal():
        raise UsageError(f"{found[1]}: {found[0]!r} is not a size: write 2g or 500m.")
    return int(number) << shift


def equip(command: Sequence[str], main_class: str, env: Mapping[str, str], settings: Mapping[str, str]) -> list[str]:
    """COMMAND, which starts MAIN_CLASS by a path of ``java``, with the options that use its archive, if there is one.

    Raises:
        UsageError: ``jvm.cache`` or ``jvm.cache.size`` is wrong.

    """
    given = list(command)
    limit = size_limit(env, settings)
    if not is_on(env, settings) or main_class not in given:
        return given
    try:
        plan = plan_of(given[: given.index(main_class)], env)
        cache = Cache.of(env)
        entry = cache.find(plan.key)
        if entry is not None:
            cache.use(entry)
        runs.begin(runs.Begun(cache, plan, env, limit, uses=entry is not None))
    except (UnfitError, UsageError, OSError):
        return given
    return given if entry is None else [given[0], *use_options(plan.build, entry.path), *given[1:]]


def use_options(build: Build, archive: Path) -> list[str]:
    """What makes the JVM use ARCHIVE, or go on without it and without a word. Options that follow overrule it."""
    if build.aot:
        return ["-Xlog:cds*=off,aot*=off", f"-XX:AOTCache={archive}", *_MAP_IN_PLACE]
    return ["-Xlog:cds*=off", "-Xshare:auto", f"-XX:SharedArchiveFile={archive}", *_MAP_IN_PLACE]


def plan_of(words: Sequence[str], env: Mapping[str, str]) -> Plan:
    """The archive for a JVM started by WORDS (a path of ``java``, and its options) in ENV.

    Raises:
        UnfitError: there must be none.
        OSError: its class path can't be looked at.

    """
    shape = shape_of(words[1:], env)
    build = identify(words[0])
    depends = [_FORMAT, build.identity, shape.options, shape.properties, shape.variables, shape.large, server_class()]
    text = json.dumps([*depends, list(_contents(shape.class_path))])
    return Plan(hashlib.sha256(os.fsencode(text)).hexdigest()[:32], words[0], build, shape)


def _contents(class_path: str) -> Iterator[tuple[str, int, int]]:
    """The class path's files as the JVM sees them, in its order, each with size and time; -1: there is none."""
    if not class_path:
        raise UnfitError("the command has no class path")
    for entry in class_path.split(":"):
        if not os.path.isabs(entry):
            raise UnfitError(f"the class path has a relative entry ({entry or 'an empty one'})")
        if os.path.basename(entry) == "*":
            yield from _jars(entry[:-1])
        else:
            yield _file(entry)


def _jars(directory: str) -> Iterator[tuple[str, int, int]]:
    # Not sorted: java takes them as the directory lists them, and an archive holds that order.
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.name.endswith((".jar", ".JAR")):
                    found = entry.stat()
                    yield directory + entry.name, found.st_size, found.st_mtime_ns
    except (FileNotFoundError, NotADirectoryError):
        yield directory, -1, -1


def _file(path: str) -> tuple[str, int, int]:
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return path, -1, -1
    if stat.S_ISDIR(found.st_mode):
        if os.listdir(path):
            raise UnfitError(f"the class path has a directory that is not empty ({path}), which no JVM archives")
        return path, 0, 0
    return path, found.st_size, found.st_mtime_ns
