"""The binaries of a run, compiled when it starts: children without libc, and C to compare with."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
CORE = ROOT / "csrc"

_CHILD_FLAGS = [
    "-std=gnu11",
    "-O2",
    "-ffreestanding",
    "-fno-stack-protector",
    "-fno-asynchronous-unwind-tables",
    "-fno-pie",
]
_CHILD_LINK = ["-static", "-no-pie", "-nostdlib", "-s", "-Wl,-z,noseparate-code,--build-id=none"]
_CORE_FLAGS = ["-std=gnu11", "-O2", "-fstack-protector-strong"]  # as the extension is built
_VARIANTS = ("exit", "pause", "late", "listen", "tree")


class NoCompilerError(Exception):
    """There is nothing to compile with, or to compile."""


@dataclass(frozen=True)
class Binaries:
    """Where the compiled files lie."""

    folder: Path

    def child(self, variant: str) -> str:
        return str(self.folder / variant)

    @property
    def harness(self) -> str:
        return str(self.folder / "harness")

    @property
    def inside(self) -> str:
        return str(self.folder / "inside.so")


def compiler() -> list[str]:
    for name in (os.environ.get("CC", ""), "cc", "gcc", "clang"):
        command = name.split()
        if command and shutil.which(command[0]):
            return command
    raise NoCompilerError("no C compiler: install one, or name it by CC")


def build(folder: Path) -> Binaries:
    """Compile everything into FOLDER.

    Raises:
        NoCompilerError: no compiler, no sources of the core, or one that fails on them.

    """
    if not (CORE / "raydp_proc.h").exists():
        raise NoCompilerError(f"the core's sources are not in {CORE}: run from a checkout")
    with_compiler = compiler()
    include = ["-I", str(CORE)]
    core = [str(path) for path in sorted(CORE.glob("*.c"))]
    native = HERE / "native"
    binaries = Binaries(folder)
    commands = [
        [
            *_CHILD_FLAGS,
            *include,
            f"-DCHILD_{variant.upper()}",
            *_CHILD_LINK,
            "-o",
            binaries.child(variant),
            str(native / "child.c"),
        ]
        for variant in _VARIANTS
    ]
    commands.append([*_CORE_FLAGS, *include, "-o", binaries.harness, str(native / "harness.c"), *core, "-pthread"])
    shared = ["-shared", "-fPIC", "-fvisibility=default"]
    commands.append(
        [*_CORE_FLAGS, *include, *shared, "-o", binaries.inside, str(native / "inside.c"), *core, "-pthread"]
    )
    for command in commands:
        done = subprocess.run([*with_compiler, *command], check=False, capture_output=True, text=True)
        if done.returncode:
            raise NoCompilerError(f"{with_compiler[0]} failed: {done.stderr.strip()[:2000]}")
    return binaries
