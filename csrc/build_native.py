"""cffi build script of ``raydp_wrap._native``: the C core in API mode, with the limited API."""

from pathlib import Path

from cffi import FFI

HERE = Path(__file__).parent
HEADER = (HERE / "raydp_proc.h").read_text(encoding="utf-8")
CDEF = HEADER.split("/* cdef: begin */", 1)[1].split("/* cdef: end */", 1)[0]
SOURCES = ["spawn.c", "wait.c", "stop.c", "uds.c"]

# RELRO, NX and the stack protector: a process core is worth hardening; see docs/architecture.md.
COMPILE_ARGS = [
    "-std=gnu11",
    "-O2",
    "-Wall",
    "-Wextra",
    "-fvisibility=hidden",
    "-fstack-protector-strong",
]
LINK_ARGS = ["-Wl,-z,relro,-z,now,-z,noexecstack"]

ffi = FFI()
ffi.cdef(CDEF)
ffi.set_source(
    "raydp_wrap._native",
    '#include "raydp_proc.h"',
    sources=[f"csrc/{name}" for name in SOURCES],
    include_dirs=["csrc"],
    extra_compile_args=COMPILE_ARGS,
    extra_link_args=LINK_ARGS,
    py_limited_api=True,
)
