"""A Java that can be archived for, and its cache; nothing here starts a real JVM."""

from __future__ import annotations

import fcntl
import os
import time

import pytest

from raydp_wrap_spark.faststart import making, runs
from raydp_wrap_spark.faststart.cache import Cache

# What a maker asks of a JVM: to write an archive at the end of a run, and to say whether it takes one.
JAVA = """#!/bin/sh
echo "$@" >> "{log}"
pwd >> "{log}"
env >> "{log}"
ls -l /proc/self/fd >> "{log}"
case "$*" in
*UseNoSuch*) echo "Unrecognized option" >&2; exit 1 ;;
esac
for word in "$@"; do
  case "$word" in
  -XX:ArchiveClassesAtExit=*) {train} echo classes > "${{word#*=}}" ;;
  -XX:SharedArchiveFile=*) [ -s "${{word#*=}}" ] || exit 1 ;;
  esac
done
"""


@pytest.fixture
def private(tmp_path):
    """A directory as only its owner can see it."""
    tmp_path.chmod(0o700)
    return tmp_path


@pytest.fixture
def jvm(private, executable):
    """Make a Java: ``train`` are shell commands that its training run has."""

    def make(train="", version="17.0.1"):
        home = private / "jvm"
        java, text = home / "bin" / "java", JAVA.format(log=private / "log", train=train)
        if not java.exists() or java.read_text() != text:
            executable(java, text)
        (home / "lib" / "server").mkdir(parents=True, exist_ok=True)
        for file, text in (
            (home / "lib" / "server" / "libjvm.so", "x"),
            (home / "lib" / "server" / "classes.jsa", "x"),
            (home / "release", f'JAVA_VERSION="{version}"\n'),
        ):
            if not file.exists() or file.read_text() != text:
                file.write_text(text)
        return str(java)

    return make


@pytest.fixture
def jars(private):
    """A directory with two jars."""
    directory = private / "jars"
    directory.mkdir()
    for name in ("a.jar", "b.jar", "no.txt"):
        (directory / name).write_text(name)
    return directory


@pytest.fixture
def user(private):
    """The environment of a user who has nothing yet."""
    return {"PATH": os.environ["PATH"], "HOME": str(private), "XDG_CACHE_HOME": str(private / "cache")}


@pytest.fixture
def cache(user):
    """That user's cache."""
    found = Cache.of(user)
    found.create()
    return found


@pytest.fixture(autouse=True)
def _nothing_begun():
    runs.take()
    yield
    runs.take()


@pytest.fixture
def settled(cache):
    """Wait until no maker is at work any more."""

    def wait():
        before = time.monotonic()
        with open(cache.directory / "lock", "ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
        assert time.monotonic() - before < 60
        # The guard is our child, and leaves right after it has let go of the lock.
        for guard in making._makers:
            os.waitid(os.P_PID, guard.guard_pid, os.WEXITED | os.WNOWAIT)
        making._makers.clear()

    return wait
