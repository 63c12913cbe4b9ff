"""A properties file with secrets in it that stands on no disk."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from raydp_wrap_spark.options import Options

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["properties_file"]

# What means something in a Java properties file.
_SPECIAL = re.compile(r"[\\\s=:#!]")


@contextlib.contextmanager
def properties_file(
    words: Sequence[str], secrets: Mapping[str, str], env: Mapping[str, str]
) -> Iterator[tuple[list[str], list[int]]]:
    """Add SECRETS to the properties files that WORDS, options of spark-submit's, name in ENV.

    Gives the options to use instead, and the descriptors that must be passed on for them to mean anything.
    """
    if not secrets:
        yield list(words), []
        return
    fd = os.memfd_create("spark-properties", os.MFD_CLOEXEC)
    try:
        os.fchmod(fd, 0o600)
        # Spark reads one file; an empty line ends whatever the last one of another has begun.
        pieces = [*_contents(Options(words), env), "\n".join(_line(*conf) for conf in secrets.items()).encode()]
        with open(fd, "wb", closefd=False) as file:
            file.write(b"\n\n".join(pieces) + b"\n")
        yield ["--properties-file", f"/proc/self/fd/{fd}"], [fd]
    finally:
        os.close(fd)


def _contents(options: Options, env: Mapping[str, str]) -> Iterator[bytes]:
    """Every file that Spark reads, in the order in which a later one counts for more."""
    named = options.properties_file
    home = env.get("SPARK_HOME")
    directory = env.get("SPARK_CONF_DIR") or (f"{home}/conf" if home else None)
    files = [Path(directory, "spark-defaults.conf")] if directory and (not named or options.loads_defaults) else []
    for file in [*files, *([Path(named)] if named else [])]:
        with contextlib.suppress(OSError):  # the kill then fails, or does not need it
            yield file.read_bytes()


def _line(name: str, value: str) -> str:
    return "=".join(_SPECIAL.sub(lambda one: f"\\u{ord(one[0]):04x}", text) for text in (name, value))
