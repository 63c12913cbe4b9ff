"""Compile all C with warnings as errors: ``python csrc/check.py`` (CC names the compilers, comma-separated)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
STRICT = ["-Wall", "-Wextra", "-Werror", "-Wshadow", "-Wstrict-prototypes", "-Wvla", "-O2", "-fsyntax-only"]


def main() -> int:
    """Check every C file; the number of failures."""
    failures = 0
    for compiler in os.environ.get("CC", "cc").split(","):
        for path in sorted([*HERE.glob("*.c"), *HERE.glob("guard/*.c")]):
            freestanding = ["-ffreestanding"] if path.parent.name == "guard" else []
            command = [*compiler.split(), "-std=gnu11", *STRICT, *freestanding, str(path)]
            failures += subprocess.run(command, check=False).returncode != 0
    return failures


if __name__ == "__main__":
    sys.exit(main())
