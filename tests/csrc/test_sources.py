"""The C sources and what is built from them: warnings, symbols, hardening."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from programs.compiled import CSRC

import raydp_wrap
from raydp_wrap import _native

ROOT = CSRC.parent
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wstrict-prototypes", "-Wvla", "-Werror"]
LIBRARY = sorted(CSRC.glob("*.c"))
GUARD = sorted((CSRC / "guard").glob("*.c"))
EXTENSION = _native.__file__
GUARD_PROGRAM = str(Path(raydp_wrap.__file__).parent / "raydp-guard")
# The core formats (snprintf) and parses; what it must not do is say, leave, or take over signals.
FORBIDDEN = re.compile(
    r"\b(v?f?printf|v?dprintf|puts|fputs|putchar|fputc|perror|psignal|err|errx|warn|warnx|syslog"
    r"|exit|_exit|_Exit|quick_exit|abort|__assert_fail|atexit"
    r"|signal|sigaction|__sysv_signal|sigset|siginterrupt|pthread_atfork|setlocale|std(in|out|err)|Py\w+)$"
)

needs_readelf = pytest.mark.skipif(not (shutil.which("readelf") and shutil.which("nm")), reason="no binutils")


def said(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, encoding="utf-8").stdout


def setup_flags() -> list[str]:
    text = (ROOT / "setup.py").read_text(encoding="utf-8")
    (found,) = re.findall(r"GUARD_FLAGS = \((.*?)\)\.split", text, re.DOTALL)
    flags = " ".join(re.findall(r'"([^"]*)"', found)).split()
    assert "-ffreestanding" in flags
    return [flag for flag in flags if not flag.startswith("-Wl,") and flag not in ("-static-pie", "-nostdlib", "-s")]


def library_flags() -> list[str]:
    spec = importlib.util.spec_from_file_location("build_native", CSRC / "build_native.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return [*module.COMPILE_ARGS, "-fPIC"]


def flags_for(source: Path) -> list[str]:
    return setup_flags() if source.parent.name == "guard" else library_flags()


def objects(directory: Path, sources: list[Path], *more: str) -> list[str]:
    found = []
    for source in sources:
        out = directory / f"{source.stem}.o"
        subprocess.run(["cc", *flags_for(source), *more, "-c", "-o", str(out), str(source)], check=True)
        found.append(str(out))
    return found


@pytest.mark.requirement("core-1.6")
@pytest.mark.parametrize("source", [*LIBRARY, *GUARD], ids=lambda path: path.name)
@pytest.mark.parametrize("optimize", ["-O0", "-O2", "-O3"])
def test_no_warning(tmp_path: Path, source: Path, optimize: str) -> None:
    objects(tmp_path, [source], *WARNINGS, optimize)


@pytest.mark.requirement("core-1.6", "guard-2.1")
@pytest.mark.skipif(shutil.which("aarch64-linux-gnu-gcc") is None, reason="no compiler for aarch64")
@pytest.mark.parametrize("source", [*LIBRARY, *GUARD], ids=lambda path: path.name)
def test_no_warning_for_the_other_machine(tmp_path: Path, source: Path) -> None:
    command = ["aarch64-linux-gnu-gcc", *flags_for(source), *WARNINGS, "-c", "-o", str(tmp_path / "o"), str(source)]
    subprocess.run(command, check=True)


@pytest.mark.requirement("core-1.6")
@needs_readelf
def test_the_core_calls_nothing_that_prints_exits_or_takes_signals(tmp_path: Path) -> None:
    built = objects(tmp_path, LIBRARY, "-U_FORTIFY_SOURCE")
    wanted = {line.split()[-1].partition("@")[0] for line in said("nm", "-u", *built).splitlines() if " U " in line}
    assert "waitid" in wanted or "ppoll" in wanted, "the names are read"
    assert {name for name in wanted if FORBIDDEN.fullmatch(name)} == set()


@pytest.mark.requirement("core-1.6")
@needs_readelf
def test_the_core_has_no_globals(tmp_path: Path) -> None:
    """No symbol in a writable section, not even a static one: each call stands alone."""
    lines = said("nm", *objects(tmp_path, LIBRARY)).splitlines()
    kinds = {line.split()[1]: line for line in lines if len(line.split()) == 3}
    assert "T" in kinds
    # b, d, c, g, s: bss, data, common, small data. Upper case is global.
    assert {kind: line for kind, line in kinds.items() if kind in "bBdDcCgGsS"} == {}


@pytest.mark.requirement("core-1.6")
def test_the_core_does_not_know_python() -> None:
    for source in [*LIBRARY, *CSRC.glob("*.h")]:
        assert not re.search(r"#\s*include\s*[<\"]Python\.h", source.read_text(encoding="utf-8")), source


@pytest.mark.requirement("core-1.6", "fault-22")
def test_the_core_never_asks_for_the_wall_clock() -> None:
    for source in LIBRARY:
        text = source.read_text(encoding="utf-8")
        assert not re.search(r"CLOCK_REALTIME|gettimeofday|\btime\(|TIMER_ABSTIME", text), source


# -- what is built ----------------------------------------------------------------------------


def dynamic(path: str) -> str:
    return said("readelf", "-W", "--dynamic", path)


def segments(path: str) -> str:
    return said("readelf", "-W", "--program-headers", path)


@pytest.mark.requirement("core-1.6")
@needs_readelf
def test_the_extension_is_hardened() -> None:
    assert "GNU_RELRO" in segments(EXTENSION)
    assert re.search(r"BIND_NOW|FLAGS.*\bNOW\b", dynamic(EXTENSION)), "RELRO is full only if all is bound at once"
    stack = next(line for line in segments(EXTENSION).splitlines() if "GNU_STACK" in line)
    assert " RW " in stack
    assert "TEXTREL" not in dynamic(EXTENSION)
    symbols = said("nm", "-D", EXTENSION)
    assert "__stack_chk_fail" in symbols
    exported = {line.split()[-1] for line in symbols.splitlines() if " T " in line}
    assert exported == {"PyInit__native"}, "of our names, the host program sees none"


@pytest.mark.requirement("core-1.6")
@needs_readelf
def test_the_extension_is_of_the_stable_abi() -> None:
    assert EXTENSION.endswith(".abi3.so")


@pytest.mark.requirement("guard-2.1")
@needs_readelf
def test_the_guard_is_hardened_and_stands_alone() -> None:
    header = said("readelf", "-h", GUARD_PROGRAM)
    assert re.search(r"Type:\s+DYN", header), "position independent"
    found = segments(GUARD_PROGRAM)
    assert "GNU_RELRO" in found
    assert "INTERP" not in found
    assert " RW " in next(line for line in found.splitlines() if "GNU_STACK" in line)
    for line in found.splitlines():
        assert not re.search(r"\bRWE\b", line)
    assert "NEEDED" not in dynamic(GUARD_PROGRAM)
    # Nothing would apply them: it has no loader and no start-up code of libc's.
    assert "no relocations" in said("readelf", "-W", "--relocs", GUARD_PROGRAM)
    assert os.access(GUARD_PROGRAM, os.X_OK)


@pytest.mark.requirement("core-1.6")
def test_the_check_of_the_sources_passes() -> None:
    subprocess.run([sys.executable, str(CSRC / "check.py")], check=True)
