"""What ``raydp-wrap doctor`` says of Spark: where it and Java were found, and what makes them start faster."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from raydp_wrap.backend import Check
from raydp_wrap.errors import RaydpWrapError, UsageError

from raydp_wrap_spark.errors import JavaNotFoundError, SparkNotFoundError
from raydp_wrap_spark.faststart.archive import is_on, plan_of, size_limit
from raydp_wrap_spark.faststart.cache import Cache
from raydp_wrap_spark.faststart.errors import UnfitError
from raydp_wrap_spark.home import find_spark_home
from raydp_wrap_spark.java import find_java, version_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from raydp_wrap_spark.faststart.cache import Entry

__all__ = ["checks"]


def checks(env: Mapping[str, str] | None = None) -> Iterator[Check]:
    """Look at what spark-submit would find in ENV (ours). A Python may be started, to ask it for pyspark."""
    env = os.environ if env is None else env
    home = java = ""
    try:
        home = find_spark_home(env).get("SPARK_HOME") or env["SPARK_HOME"]
        yield Check("spark", ok=True, text=f"{_spark_version(home)} in {home}")
    except SparkNotFoundError as error:
        yield Check("spark", ok=False, text=str(error))
    try:
        java = find_java(env)
        yield Check("java", ok=True, text=f"{version_of(java) or 'an unknown version'}, {java}")
    except JavaNotFoundError as error:
        yield Check("java", ok=False, text=str(error))
    if home and java:
        try:
            yield _cache(home, java, env)
        except (OSError, RaydpWrapError) as error:
            yield Check("spark start cache", ok=False, text=f"not in use: {error}")


def _cache(home: str, java: str, env: Mapping[str, str]) -> Check:
    name = "spark start cache"
    limit = size_limit(env, {})
    if not is_on(env, {}):
        return Check(name, ok=True, text="off (RAYDP_WRAP_JVM_CACHE)")
    try:
        cache = Cache.of(env)
        entries = cache.entries()
    except (OSError, UsageError) as error:
        return Check(name, ok=False, text=f"not in use: {error}")
    ours = [entry for entry in entries if _is_for(entry, home, java)]
    total = sum(entry.size for entry in entries)
    room = f"{total >> 20} of {limit >> 20} MB in {cache.directory}"
    if ours:
        return Check(name, ok=True, text=f"in use: {_described(ours[-1])}; {room}")
    conf = env.get("SPARK_CONF_DIR") or f"{home}/conf"
    try:
        plan_of([java, "-cp", f"{conf}:{home}/jars/*"], env)
    except UnfitError as error:
        return Check(name, ok=False, text=f"not in use: {error}")
    if cache.is_making():
        return Check(name, ok=True, text=f"being made; {room}")
    failure = next(cache.failures(), None)
    if failure:
        return Check(name, ok=False, text=f"not made at {_at(failure[0])}: {failure[1]}; {room}")
    return Check(name, ok=True, text=f"not made yet, the first run that succeeds begins it; {room}")


def _is_for(entry: Entry, home: str, java: str) -> bool:
    about = entry.about
    return os.path.realpath(about.get("java", "")) == os.path.realpath(java) and about.get("spark") == home


def _described(entry: Entry) -> str:
    made, took = entry.about.get("made_at", 0), entry.about.get("seconds", 0)
    return f"made at {_at(made)} in {took} s, {entry.size >> 20} MB, last used at {_at(entry.used_at)}"


def _at(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def _spark_version(home: str) -> str:
    for jar in Path(home, "jars").glob("spark-launcher_*.jar"):
        return jar.stem.partition("_")[2].partition("-")[2]
    return "an unknown version"
