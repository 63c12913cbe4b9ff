"""Builds the two native parts; everything else stands in pyproject.toml."""

from __future__ import annotations

import os
import subprocess
import sys
from glob import glob
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

if not sys.platform.startswith("linux"):
    raise SystemExit("raydp_wrap runs on Linux only: it owns processes by pidfd, subreaper and signalfd.")

GUARD = "raydp_wrap._guard"
GUARD_FLAGS = (
    "-std=gnu11 -O2 -Wall -Wextra -ffreestanding -fno-stack-protector -fno-asynchronous-unwind-tables"
    " -fPIE -static-pie -nostdlib -s -Wl,-z,relro,-z,now,-z,noexecstack,-z,noseparate-code,--build-id=none"
).split()


class BuildNative(build_ext):
    """build_ext that links the guard as an executable instead of a shared object."""

    def get_ext_filename(self, fullname: str) -> str:
        package, _, name = fullname.rpartition(".")
        if name == GUARD.rpartition(".")[2]:
            return os.path.join(*package.split("."), "raydp-guard")
        return super().get_ext_filename(fullname)

    def build_extension(self, ext: Extension) -> None:
        if ext.name != GUARD:
            super().build_extension(ext)
            return
        out = Path(self.get_ext_fullpath(ext.name))
        out.parent.mkdir(parents=True, exist_ok=True)
        extra = os.environ.get("RAYDP_WRAP_CFLAGS", "").split()
        compiler = os.environ.get("CC", "cc").split()
        subprocess.run([*compiler, *GUARD_FLAGS, *extra, "-o", str(out), *ext.sources], check=True)
        out.chmod(0o755)


setup(
    cffi_modules=["csrc/build_native.py:ffi"],
    ext_modules=[
        Extension(
            GUARD,
            sources=sorted(glob("csrc/guard/*.c")),
            depends=["csrc/guard/guard.h", "csrc/sys.h", "csrc/child.h", "csrc/raydp_proc.h"],
        )
    ],
    cmdclass={"build_ext": BuildNative},
    options={"bdist_wheel": {"py_limited_api": "cp310"}},
)
