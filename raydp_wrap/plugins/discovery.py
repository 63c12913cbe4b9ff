"""Which plugins are installed: the entry points of our group, read from sys.path's directories themselves.

``importlib.metadata`` finds the same, and its import alone takes several times as long as a whole search. It is
asked only where something on sys.path is no plain directory of distributions.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from importlib.metadata import Distribution

__all__ = ["GROUP", "EntryPoint", "find"]

GROUP = "raydp_wrap"
_SUFFIXES = (".dist-info", ".egg-info")


class EntryPoint(NamedTuple):
    """A plugin's name, the object it names (``module`` or ``module:attribute``), and what brings it.

    ``metadata`` is the path of its distribution's ``.dist-info`` or ``.egg-info``; ``distribution`` is there
    where no path tells.
    """

    name: str
    value: str
    metadata: str
    distribution: Distribution | None = None


class _UnusualError(Exception):
    """A place that only importlib.metadata understands."""


def find() -> tuple[list[EntryPoint], list[str]]:
    """Every entry point of the group, in the order of sys.path, and a sentence on each metadata that is broken."""
    found: list[EntryPoint] = []
    problems: list[str] = []
    texts: list[tuple[str, bytes, Distribution | None]] = []
    try:
        texts += _from_directories()
    except _UnusualError:
        try:
            texts = list(_from_importlib())
        except Exception as error:  # noqa: BLE001 - a finder of distributions may be anybody's
            problems.append(f"no plugin is loaded, for the installed distributions can't be listed: {error!r}")
    for metadata, data, distribution in texts:
        try:
            found += [EntryPoint(name, value, metadata, distribution) for name, value in _parse(data)]
        except ValueError as error:
            problems.append(f"{metadata} is skipped: its entry_points.txt is broken: {error}")
    return found, problems


def _from_directories() -> Iterator[tuple[str, bytes, None]]:
    """Path and ``entry_points.txt`` of each distribution that may have plugins; of two of one name, the first."""
    if any(hasattr(finder, "find_distributions") and finder is not PathFinder for finder in sys.meta_path):
        raise _UnusualError
    if PathFinder not in sys.meta_path:
        raise _UnusualError
    seen = set()
    for root in sys.path:
        for child in _children(root):
            name = _normal(child.rpartition(".")[0].partition("-")[0])
            if not name:
                raise _UnusualError
            if name not in seen:
                seen.add(name)
                metadata = os.path.join(root, child)
                data = _read(os.path.join(metadata, "entry_points.txt"))
                if GROUP.encode() in data:
                    yield metadata, data, None


def _children(root: object) -> Iterator[str]:
    """The metadata directories in ROOT, which stands on sys.path."""
    if not isinstance(root, str):
        raise _UnusualError
    try:
        children = os.listdir(root or ".")
    except NotADirectoryError:  # a zip file
        raise _UnusualError from None
    except (OSError, ValueError):  # nothing there, as is common
        return
    for child in children:
        low = child.lower()
        if low.endswith(_SUFFIXES):
            if not child.endswith(_SUFFIXES):
                raise _UnusualError
            yield child
        elif low == "egg-info" and root.lower().endswith(".egg"):
            raise _UnusualError


def _read(path: str) -> bytes:
    """The bytes of a file; none where there is no such file, or it can't be read. A FIFO doesn't hold us up."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            return file.read()
    except OSError:
        return b""


def _from_importlib() -> Iterator[tuple[str, bytes, Distribution]]:
    from importlib.metadata import distributions  # noqa: PLC0415 - costs more than all of the above

    seen = set()
    for distribution in distributions():
        try:
            name = _normal(distribution.metadata["Name"])
        except Exception:  # noqa: BLE001 - without metadata: nothing can be a second one of it
            name = ""
        if name in seen:
            continue
        if name:
            seen.add(name)
        try:
            data = (distribution.read_text("entry_points.txt") or "").encode()
        except UnicodeDecodeError:
            data = b"\xff"  # to be told like any other that isn't UTF-8
        except OSError:
            continue
        if data:
            yield name or "a distribution without a name", data, distribution


def _normal(name: str) -> str:
    """NAME as it is compared (PEP 503): without case, and any run of ``-_.`` is one ``_``."""
    name = name.lower().replace("-", "_").replace(".", "_")
    while "__" in name:
        name = name.replace("__", "_")
    return name


def _parse(data: bytes) -> Iterable[tuple[str, str]]:
    """Name and value of each entry point in our section.

    Raises:
        ValueError: it can't be read.

    """
    section = ""
    for line in map(str.strip, data.decode().splitlines()):
        if not line or line.startswith("#"):
            continue
        if line.startswith("[") and line.endswith("]"):
            section = line.strip("[]")
        elif section == GROUP:
            name, equals, value = line.partition("=")
            if not equals:
                raise ValueError(f"{line!r} is not NAME = OBJECT")
            yield name.strip(), value.strip()
