"""What tests look up about processes: descriptors, states, and the lines of show.c."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from programs.compiled import HERE, show

import raydp_wrap
from raydp_wrap.process import Process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

DEADLINE = 20.0
V2 = "/sys/fs/cgroup/unified" if os.path.isdir("/sys/fs/cgroup/unified") else "/sys/fs/cgroup"


def environment(**more: str) -> dict[str, str]:
    """This environment, for a Python that imports what we import."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(raydp_wrap.__file__)))
    return {**os.environ, "PYTHONPATH": f"{package}:{HERE.parent}", **more}


def python(*words: str, before: list[str] | None = None, env: Mapping[str, str] | None = None) -> bytes:
    """What Python says on stdout, run with WORDS, by the command BEFORE it if there is one; it must end with 0."""
    command = [*(before or []), sys.executable, *words]
    full = environment(**(env or {}))
    return subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=60, env=full).stdout


def sandboxed(rules: list[tuple[str, int, int]], *words: str, env: Mapping[str, str] | None = None) -> bytes:
    """The same, where the system calls in RULES fail; see sandbox.py."""
    return python(str(HERE / "sandbox.py"), json.dumps(rules), sys.executable, *words, env=env)


def eventually(holds: Callable[[], object], what: str) -> None:
    """Wait until HOLDS; for what gives no event."""
    deadline = time.monotonic() + DEADLINE
    while not holds():
        assert time.monotonic() < deadline, f"never so: {what}"
        time.sleep(0.001)


def state(pid: int) -> str:
    """The state letter of PID, or "" when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def alive(pid: int) -> bool:
    return state(pid) not in ("", "Z", "X")


def open_fds() -> dict[int, str]:
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
    return {fd: target for fd, target in found.items() if not target.startswith("/proc/")}


@contextlib.contextmanager
def nothing_left() -> Iterator[None]:
    """Neither a descriptor nor a child more than before, zombies included."""
    fds, children = open_fds(), _children()
    yield
    # Where a thread watches the child, it lets go of its descriptor a moment after it has told of the end.
    eventually(lambda: open_fds() == fds, f"no descriptor but {fds} is open")
    assert _children() == children


def _children() -> set[str]:
    found: set[str] = set()
    for task in os.listdir("/proc/self/task"):
        # A thread that ends meanwhile has handed its children to another.
        with (
            contextlib.suppress(FileNotFoundError, ProcessLookupError),
            open(f"/proc/self/task/{task}/children", encoding="ascii") as file,
        ):
            found |= set(file.read().split())
    return found


@dataclass
class Shown:
    lines: dict[str, str]
    fds: dict[int, str]
    argv: list[bytes]
    env: list[bytes]

    def signals(self, what: str) -> set[int]:
        mask = int(self.lines[what], 16)
        return {number for number in range(1, 65) if mask >> (number - 1) & 1}


def read_shown(path: Path) -> Shown:
    text = path.read_bytes()
    head, _, rest = text.partition(b"\n\n")
    lines: dict[str, str] = {}
    fds: dict[int, str] = {}
    for line in os.fsdecode(head).splitlines():
        name, _, value = line.replace(":", "", 1).partition(" ") if not line.startswith("Sig") else line.partition(":")
        if name == "fd":
            number, _, target = value.partition(" ")
            fds[int(number)] = target
        else:
            lines[name] = value.strip()
    strings = rest.split(b"\0")[:-1]
    argc = int(lines["argc"])
    return Shown(lines, fds, strings[:argc], strings[argc:])


def shown(path: Path, *arguments: bytes | str, **options: object) -> Shown:
    """What a child started with OPTIONS says it was given."""
    process = Process(["show", str(path), *arguments], executable=show(), **options)  # type: ignore[arg-type]
    assert process.wait(DEADLINE) == 0
    return read_shown(path)


@contextlib.contextmanager
def cgroup(parent: str, name: str) -> Iterator[str]:
    """A new cgroup below PARENT."""
    path = os.path.join(parent, f"raydp-test-{os.getpid()}-{name}")
    os.mkdir(path)
    try:
        yield path
    finally:
        deadline = time.monotonic() + DEADLINE
        while True:
            try:
                os.rmdir(path)
                break
            except OSError as error:
                # A dead member leaves a moment after its exit is seen.
                if error.errno != errno.EBUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.001)
