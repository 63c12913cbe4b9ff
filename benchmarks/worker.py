"""A parent process: holds its ballast, takes a measure's name a line, answers what it measured as JSON."""

from __future__ import annotations

import json
import mmap
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.methods import Measure

_CHUNK = 1 << 20


def _ballast(size: int) -> mmap.mmap | None:
    """Memory that makes this process SIZE bytes large: private, and every page of it touched."""
    with open("/proc/self/statm", encoding="ascii") as file:
        size -= int(file.read().split()[1]) * mmap.PAGESIZE
    if size <= 0:
        return None
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    chunk = b"\1" * _CHUNK
    while memory.tell() + _CHUNK <= size:
        memory.write(chunk)
    return memory


def _measures(options: dict[str, Any]) -> dict[str, Measure | str]:
    from benchmarks import detection, guard, methods, readiness, scale  # noqa: PLC0415 - counts as the parent's size
    from benchmarks.children import Binaries  # noqa: PLC0415

    binaries = Binaries(Path(options["folder"]))
    records = options["records"] and Path(options["records"])
    return {
        **methods.measures(binaries),
        **detection.measures(binaries),
        **readiness.measures(binaries, binaries.folder),
        **guard.measures(binaries, records),
        **scale.measures(binaries, options["children"]),
    }


def _answer(found: dict[str, Measure | str], name: str) -> dict[str, Any]:
    measure = found[name]
    if isinstance(measure, str):
        return {"missing": measure}
    try:
        value = measure()
    except Exception as error:  # noqa: BLE001 - whatever it is, the reader reports it
        return {"failed": f"{type(error).__name__}: {error}"}
    return {"values": value if isinstance(value, dict) else {name: value}}


def main() -> None:
    """Until stdin ends. The lines go through a copy of stdout, which children can't write into."""
    options = json.loads(sys.argv[1])
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")  # short of memory, take us first
    found = _measures(options)
    keep = _ballast(options["size"])
    print(json.dumps({"ready": True}), file=out, flush=True)
    for line in sys.stdin:
        print(json.dumps(_answer(found, line.strip())), file=out, flush=True)
    del keep


if __name__ == "__main__":
    main()
