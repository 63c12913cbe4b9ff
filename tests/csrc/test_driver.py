"""Every function of the core, called from C under AddressSanitizer and UndefinedBehaviorSanitizer."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from programs.compiled import CSRC, tiny
from programs.facts import V2, cgroup

HERE = Path(__file__).parent
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wstrict-prototypes", "-Wvla", "-Werror"]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]
LIBRARY = [str(CSRC / name) for name in ("spawn.c", "wait.c", "stop.c", "uds.c")]


def works(flags: list[str], directory: Path) -> bool:
    source = directory / "empty.c"
    source.write_text("int main(void) { return 0; }\n")
    command = ["cc", *flags, "-o", str(directory / "empty"), str(source)]
    built = subprocess.run(command, check=False, capture_output=True)
    return built.returncode == 0 and subprocess.run([str(directory / "empty")], check=False).returncode == 0


@pytest.mark.requirement("core-1.6", "core-1.3", "core-1.4", "core-1.5")
@pytest.mark.parametrize("optimize", ["-O0", "-O2"])
def test_every_function_under_the_sanitizers(tmp_path: Path, optimize: str) -> None:
    if not works(SANITIZERS, tmp_path):
        pytest.skip("the compiler has no sanitizers here")
    driver = str(tmp_path / "driver")
    common = ["cc", "-std=gnu11", "-g", optimize, *WARNINGS, *SANITIZERS, f"-I{CSRC}", "-pthread"]
    subprocess.run([*common, "-o", driver, str(HERE / "driver.c"), *LIBRARY], check=True)
    directory = tmp_path / "d"
    directory.mkdir(mode=0o700)
    environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=1"}
    words = [driver, tiny(), str(directory)]
    if os.access(os.path.join(V2, "cgroup.procs"), os.W_OK):
        with cgroup(V2, "driver") as path:
            done = subprocess.run([*words, path], check=False, stderr=subprocess.PIPE, env=environment, timeout=100)
    else:
        done = subprocess.run(words, check=False, stderr=subprocess.PIPE, env=environment, timeout=100)
    assert done.stderr.decode() == ""
    assert done.returncode == 0


@pytest.mark.requirement("core-1.6")
def test_the_driver_calls_every_function() -> None:
    header = (CSRC / "raydp_proc.h").read_text(encoding="utf-8")
    functions = set(re.findall(r"^int (rd_\w+)\(", header, re.MULTILINE))
    functions |= set(re.findall(r"\bint (rd_set_new|rd_set_wait)\(", header))
    assert len(functions) >= 20
    driver = (HERE / "driver.c").read_text(encoding="utf-8")
    assert {name for name in functions if f"{name}(" not in driver} == set()
