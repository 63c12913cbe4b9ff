"""Another Python is asked once where its packages are: its answer is kept while nothing it depends on has changed.

It depends on the interpreter, on variables, on the directories it looks into (their times change when something is
installed or removed), and on the code it runs before ours. Which these are, the asked one tells with its answer. Code
that somebody put there (sitecustomize, lines of .pth files) may look at anything: then all variables count. Where
something else finds modules, or the program is a script that looks for a Python, each run asks.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from raydp_wrap.errors import UsageError

from raydp_wrap_spark import kept_answers
from raydp_wrap_spark.faststart import is_on
from raydp_wrap_spark.faststart.place import place

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = ["PROGRAM", "Question", "Said", "question", "read"]

#: What a Python of any version is asked, the names being its arguments: it prints its answer in words that end with
#: NUL, the first letter of each saying what it is. Unlike a script, -c has the current directory on its path: a
#: directory named as a package there is not the package.
PROGRAM = """
import sys
sys.path = [path for path in sys.path if path]
import importlib.util, os, site
names, said = sys.argv[1:], [b"", b"raydp-wrap"]
def say(kind, text):
    try:
        said.append(kind + os.fsencode(text))
    except UnicodeError:
        said.append(b"h")
for name in names:
    found = importlib.util.find_spec(name)
    say(b"o", found.origin if found and found.origin else "")
say(b"x", sys.executable or "")
for path in sys.path:
    say(b"p", path)
for path in getattr(site, "getsitepackages", list)() + [getattr(site, "USER_SITE", None)]:
    if path:
        say(b"s", path)
for module in list(sys.modules.values()):
    file = getattr(module, "__dict__", {}).get("__file__")
    if isinstance(file, str):
        say(b"f", file)
for name in ("sitecustomize", "usercustomize"):
    if name in sys.modules:
        say(b"c", getattr(sys.modules[name], "__file__", None) or "")
for finder in sys.meta_path + sys.path_hooks:
    name = str(getattr(finder, "__module__", None))
    others = getattr(sys.modules.get(name), "MAPPING", names) if name.startswith("__editable__") else names
    if not set(names).isdisjoint(others):
        say(b"h", name)
sys.stdout.buffer.write(b"\\0".join(said) + b"\\0")
"""
_START = "\0raydp-wrap\0"
_FORMAT = "1"
# Within this time of a change there may be another one that the file's times don't show.
_SETTLING = 2_000_000_000
_ELF = b"\x7fELF"
_DEBIANS = "43d81125d92376b1a69d53a71126a041cc9a18d8080e92dea0a2ae23be138b1e"
# They take no argument, and run nothing.
_PLAIN_OPTION = re.compile(r"-[BEIOPSbqsu]+")
_VARIABLES = ("HOME", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__", "SETUPTOOLS_USE_DISTUTILS", "LANG")
_PREFIXES = ("PYTHON", "LC_", "LD_", "NIX_")
_PATHS = ("PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE")
# Python's own, and two that find no packages.
_KNOWN_FINDERS = frozenset(
    (
        "_distutils_hack",
        "_frozen_importlib",
        "_frozen_importlib_external",
        "_virtualenv",
        "importlib._bootstrap",
        "importlib._bootstrap_external",
        "zipimport",
    )
)
# Lines of code that look at nothing else than what is counted anyway.
_KNOWN_CODE = re.compile(r"distutils-precedence\.pth|_virtualenv\.pth|__editable__.*\.pth|.*-nspkg\.pth")
_MOST_LINKS = 40

_Identity = list[int] | None


@dataclass(slots=True)
class Said:
    """An answer: ``origins`` are files, empty where there is none, in the order of the names.

    ``sites`` are looked into for .pth files, ``files`` are those of modules that are loaded already, and ``finders``
    the modules of what finds modules.
    """

    origins: list[str] = field(default_factory=list)
    executable: str = ""
    path: list[str] = field(default_factory=list)
    sites: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    customizers: list[str] = field(default_factory=list)
    finders: list[str] = field(default_factory=list)


def read(output: bytes) -> Said:
    """What a Python said that ran PROGRAM. What others print before and after is no part of it."""
    said = Said()
    _, started, text = os.fsdecode(output).rpartition(_START)
    words = text.split("\0")[:-1] if started else []
    for kind, value in ((word[:1], word[1:]) for word in words):
        if kind == "x":
            said.executable = value
        else:
            lists = {"o": said.origins, "p": said.path, "s": said.sites, "f": said.files, "c": said.customizers}
            lists.get(kind, said.finders).append(value)
    return said


@dataclass(frozen=True, slots=True)
class _Hook:
    """A file that extends the path: by directories it ADDS (those that exist), or by code that we don't know."""

    path: str
    adds: tuple[str, ...]
    by_code: bool

    @classmethod
    def of(cls, path: str) -> _Hook:
        directory, name = os.path.split(path)
        with open(path, "rb") as file:
            lines = [line.strip() for line in file.read().splitlines()]
        adds = (os.fsdecode(line) for line in lines if line and not line.startswith((b"#", b"import")))
        code = name.endswith(".start") or any(b"import" in line for line in lines)
        return cls(path, tuple(os.path.join(directory, add) for add in adds), code and not _KNOWN_CODE.fullmatch(name))


@dataclass(frozen=True, slots=True)
class Question:
    """Where the Python PROGRAM, started in ENV, has the packages NAMES; KEY names who is asked, and what."""

    directory: Path
    key: str
    program: str
    names: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)

    def recall(self) -> dict[str, str] | None:
        """The answer, if it is known and would be the same."""
        kept = kept_answers.recall(self.directory, self.key)
        try:
            origins, seen, surroundings = kept["origins"], kept["seen"], kept["surroundings"]
            same = (
                self.program in seen
                and all(isinstance(file, str) and name in self.names and file in seen for name, file in origins.items())
                and (surroundings is None or surroundings == _surroundings(self.env))
                and all(_identity(path) == found for path, found in seen.items())
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return dict(origins) if same else None

    def keep(self, said: Said, began: int) -> None:
        """Keep what was SAID to who began to ask at BEGAN (ns since the epoch), where that is right and possible."""
        directories = {*said.path, *said.sites}
        told = {*directories, *said.files, *filter(None, said.origins)}
        doubtful = (
            said.executable != self.program
            or not _KNOWN_FINDERS.issuperset(said.finders)
            or not all(map(os.path.isabs, told))
        )
        if doubtful:
            return
        try:
            hooks = [_Hook.of(path) for directory in directories for path in _hooks(directory)]
            paths = {*told, *_around(self.program), *(path for hook in hooks for path in (hook.path, *hook.adds))}
            paths.update(os.path.join(path, name) for path in said.path for name in self.names)
            seen = {path: _identity(path) for path in sorted(paths)}
            if any(found is not None and max(found[-2:]) > began - _SETTLING for found in seen.values()):
                return
            by_code = not all(map(_is_debians, said.customizers)) or any(hook.by_code for hook in hooks)
            surroundings = _surroundings(self.env) if by_code else None
        except (OSError, ValueError):
            return
        origins = {name: file for name, file in zip(self.names, said.origins, strict=True) if file}
        value = {"origins": origins, "surroundings": surroundings, "seen": seen}
        kept_answers.keep(self.directory, self.key, value)


def question(program: str, options: Sequence[str], names: tuple[str, ...], env: Mapping[str, str]) -> Question | None:
    """What the PROGRAM with its OPTIONS is asked; None: it has to be asked itself."""
    if not env.get("HOME") or not all(map(_PLAIN_OPTION.fullmatch, options)):
        return None
    try:
        with open(program, "rb") as file:
            if not is_on(env, {}) or file.read(len(_ELF)) != _ELF:
                return None
        variables = sorted(
            (name, value) for name, value in env.items() if name in _VARIABLES or name.startswith(_PREFIXES)
        )
        relative = not all(map(os.path.isabs, _named_paths(env)))
        depends = [
            *(_FORMAT, PROGRAM, program, os.path.realpath(program), _identity(program), list(options), names),
            *(variables, os.getcwd() if relative else ""),
        ]
        return Question(place(env, "pythons"), _digest(depends), program, names, env)
    except (OSError, ValueError, UsageError):
        return None


def _named_paths(env: Mapping[str, str]) -> Iterator[str]:
    yield env["HOME"]
    for name in _PATHS:
        if env.get(name):
            yield from env[name].split(os.pathsep)


def _identity(path: str) -> _Identity:
    """What changes when PATH does, its times last; None: there is none. Raises OSError: it can't be told."""
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    # The change time as well: anybody may set the other.
    return [found.st_dev, found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def _around(program: str) -> Iterator[str]:
    """Where an interpreter looks for what it belongs to: beside it and above, by each of its names."""
    for _ in range(_MOST_LINKS):
        above = os.path.dirname(program)
        for directory in (above, os.path.dirname(above)):
            yield from (directory, os.path.join(directory, "pyvenv.cfg"))
        yield program
        if not os.path.islink(program):
            return
        program = os.path.join(above, os.readlink(program))


def _hooks(directory: str) -> list[str]:
    if not os.path.isdir(directory):
        return []
    return [os.path.join(directory, name) for name in os.listdir(directory) if name.endswith((".pth", ".start"))]


def _is_debians(file: str) -> bool:
    """Whether this sitecustomize is the one of every Debian, which only looks for a hook that reports crashes."""
    with open(file, "rb") as opened:
        return hashlib.sha256(opened.read()).hexdigest() == _DEBIANS


def _surroundings(env: Mapping[str, str]) -> str:
    return _digest([sorted(env.items()), os.getcwd()])


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:32]
