"""``python -m benchmarks``: every goal of the process core, measured in one shuffled run."""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import children, goals, parents, run, table

if TYPE_CHECKING:
    from collections.abc import Sequence

_QUICK = {"samples": 24, "children": 200}
_FULL = {"samples": 200, "children": 5000}
_IN_MEMORY = {"tmpfs", "ramfs", "devtmpfs"}


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few samples, parents of 20 MB only, 200 children: < 30 s")
    parser.add_argument("--samples", type=int, metavar="N", help="of a cheap method; costly ones get a share of it")
    parser.add_argument("--children", type=int, metavar="N", help="how many to supervise (5000; quick: 200)")
    parser.add_argument("--seed", type=int, help="of the order (random)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    parser.add_argument("--only", metavar="PATTERN", help="only rows whose title matches this regular expression")
    parser.add_argument(
        "--large", action=argparse.BooleanOptionalAction, help="with parents of 1 GB and 4 GB, or without"
    )
    parser.add_argument("--record-dir", type=Path, metavar="DIR", help="a directory on a disk, for the durable records")
    options = parser.parse_args(argv)
    for name, default in (_QUICK if options.quick else _FULL).items():
        if getattr(options, name) is None:
            setattr(options, name, default)
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be at least 1")
    if options.large is None:
        options.large = not options.quick
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1 << 32)
    if options.record_dir and not (options.record_dir.is_dir() and os.access(options.record_dir, os.W_OK)):
        parser.error(f"--record-dir {options.record_dir} is no directory that can be written to")
    try:
        re.compile(options.only or "")
    except re.error as error:
        parser.error(f"--only {options.only!r} is no regular expression: {error}")
    return options


def _huge_pages() -> str:
    try:
        text = Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text(encoding="ascii")
    except OSError:
        return "unknown"
    return text.partition("[")[2].partition("]")[0]


def _machine() -> dict[str, Any]:
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpus": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "transparent_huge_pages": _huge_pages(),
    }


def _file_system(path: Path) -> str:
    """The type of the file system that PATH lies on."""
    found = ("", "unknown")
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            mount, kind = line.split()[4], line.partition(" - ")[2].split()[0]
            if os.path.commonpath([mount, path.resolve()]) == mount and len(mount) >= len(found[0]):
                found = (mount, kind)
    return found[1]


def _disk(asked: Path | None) -> tuple[Path | None, str]:
    """A directory on a real disk, and its file system's type."""
    for path in [asked] if asked else [Path(tempfile.gettempdir()), Path.cwd()]:
        kind = _file_system(path)
        if os.access(path, os.W_OK) and (asked or kind not in _IN_MEMORY):
            return path, kind
    return None, ""


def _measure(options: argparse.Namespace, rows: list[goals.Goal], disk: Path | None) -> run.Results:
    values = goals.every_value(rows) if options.only is None else {value for row in rows for value in row.values}
    left_out = {} if options.large else {value for value in values if value.endswith(("1G", "4G"))}
    with tempfile.TemporaryDirectory(prefix="raydp-bench-") as folder:
        records = None if disk is None else tempfile.TemporaryDirectory(prefix="raydp-bench-", dir=disk)
        try:
            binaries = children.build(Path(folder))
            all_parents = parents.Parents(binaries, records and Path(records.name), options.children)
            try:
                results = run.run(
                    all_parents, values.difference(left_out), options.samples, random.Random(options.seed)
                )
            finally:
                all_parents.close()
        except children.NoCompilerError as error:
            results = run.Results()
            results.missing = dict.fromkeys(values, str(error))
        finally:
            if records is not None:
                records.cleanup()
    results.missing.update(dict.fromkeys(left_out, "without large parents"))
    return results


def _write_json(path: Path, head: dict[str, Any], figures: list[table.Figure], results: run.Results) -> None:
    rows = [
        {
            "title": f.row.title, "value": f.value, "low": f.low, "high": f.high, "unit": f.row.unit[0],
            "goal": f.row.goal and "".join(map(str, f.row.goal)), "verdict": f.verdict,
        }
        for f in figures
    ]  # fmt: skip
    path.write_text(
        json.dumps({**head, "goals": rows, "samples_by_value": results.samples, "failed": results.failed}, indent=1),
        encoding="utf-8",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables; 1 if a measurement failed. A missed goal is a finding, not a failure."""
    options = _arguments(argv)
    rows = [row for row in goals.goals(options.children) if re.search(options.only or "", row.title, re.IGNORECASE)]
    if not rows:
        print(f"no row matches {options.only!r}", file=sys.stderr)
        return 2
    machine = _machine()
    print(
        f"{machine['system']}, {machine['cpus']} CPUs (load {machine['load']:.1f}), {machine['python']}, "
        f"transparent huge pages {machine['transparent_huge_pages']}"
    )
    disk, kind = _disk(options.record_dir)
    print(f"seed {options.seed}, {options.samples} samples, records on {kind or 'no disk'}", flush=True)
    began = time.monotonic()
    results = _measure(options, rows, disk)
    figures = [table.figure_of(row, results.samples, results.missing) for row in rows]
    table.print_medians(results.samples)
    table.print_goals(figures)
    if options.json:
        _write_json(options.json, {"machine": machine, "seed": options.seed}, figures, results)
    print(f"\n{time.monotonic() - began:.0f} s, load {os.getloadavg()[0]:.1f} at the end")
    for name, reason in results.failed.items():
        print(f"FAILED: {name}: {reason}")
    judged = [figure for figure in figures if figure.row.goal is not None]
    unmeasured = [figure for figure in figures if figure.value is None]
    for reason in dict.fromkeys(figure.reason for figure in unmeasured):
        titles = "; ".join(figure.row.title for figure in unmeasured if figure.reason == reason)
        print(f"Not measured ({reason}): {titles}")
    missed = [figure.row.title for figure in judged if figure.verdict == "MISSED"]
    print(
        f"Missed {len(missed)} of {len(judged)} goals: {'; '.join(missed)}"
        if missed
        else f"No goal of {len(judged)} is missed."
    )
    return 1 if results.failed else 0


if __name__ == "__main__":
    sys.exit(main())
