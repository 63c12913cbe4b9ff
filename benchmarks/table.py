"""Figures from samples, and tables from figures."""

from __future__ import annotations

import random
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.goals import BYTE, MS, US, S
from benchmarks.parents import FRESH, SIZES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmarks.goals import Goal

_RESAMPLES = 200


@dataclass(frozen=True)
class Figure:
    """A row with what came of it; ``value`` None: not measured, for ``reason``."""

    row: Goal
    value: float | None
    low: float = 0.0
    high: float = 0.0
    reason: str = ""

    @property
    def verdict(self) -> str:
        """What stands in the table's last column."""
        if self.value is None:
            return "not measured"
        met = self.row.is_met(self.value)
        return "-" if met is None else "met" if met else "MISSED"


def figure_of(row: Goal, samples: dict[str, list[float]], missing: dict[str, str]) -> Figure:
    """ROW's figure, with the interval that nine in ten resamplings of its samples fall into."""
    for value in row.values:
        if not samples.get(value):
            return Figure(row, None, reason=missing.get(value, "not asked for"))
    scale = row.unit[1]
    series = [samples[value] for value in row.values]
    chance = random.Random(0)
    again = sorted(
        row.kind(*(statistics.median(chance.choices(one, k=len(one))) for one in series)) / scale
        for _ in range(_RESAMPLES)
    )
    at = _RESAMPLES // 20
    return Figure(row, row.kind(*map(statistics.median, series)) / scale, again[at], again[-1 - at])


def p99(values: Sequence[float]) -> float:
    """The value that one in a hundred exceeds."""
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.99))]


def _number(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _print(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    lines = [head, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    lines.insert(1, ["-" * width for width in widths])
    for line in lines:
        cells = [
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        print("| " + " | ".join(cells) + " |")


_SPAWN = {
    "c-vfork": "raw C vfork + execve + waitid, inside Python",
    "c-run": "C with every feature, in a C program",
    "c-all": "C with every feature, inside Python",
    "cffi": "cffi, one call, every feature",
    "process": "Process()",
    "process-all": "Process(every feature)",
    "popen": "Popen()",
    "popen-session": "Popen(start_new_session=True)",
    "posix-spawn": "os.posix_spawn",
    "psutil": "psutil.Popen",
    "asyncio-pidfd": "asyncio, pidfd watcher",
    "asyncio-thread": "asyncio, threaded watcher",
    "popen-shell": "Popen(shell=True)",
    "popen-preexec": "Popen(preexec_fn=...)",
}
_WAIT = {
    "detect-core": "exit -> known: rd_wait by cffi",
    "detect-process": "exit -> known: Process.wait()",
    "detect-popen": "exit -> known: Popen.wait()",
    "detect-popen-timeout": "exit -> known: Popen.wait(timeout=30)",
    "detect-poll": "exit -> known: a 100 ms poll (Ray's)",
    "ready-core": "listening -> connected: rd_uds_wait",
    "ready-poll": "listening -> connected: a 100 ms poll for the file",
}
_JOB = {
    "job-direct@20M": "a job: Process().wait()",
    "job-guard@20M": "a job under a guard",
    "job-guard-record@20M": "... with a durable record",
    "job-cgroup@20M": "... with a cgroup",
    "job-cgroup-record@20M": "... with a cgroup and a durable record",
    "c-guard@C-20M": "a job under a guard, from C",
    "orphan-tree@20M": "owner killed -> whole tree dead",
    "orphan-cgroup@20M": "... with a cgroup",
}
_SCALE = {
    "scale-spawn": ("spawn all", S),
    "scale-memory": ("supervisor memory, each", BYTE),
    "scale-notice": ("kill one -> noticed", US),
    "scale-kill": ("SIGKILL and reap all", S),
}


def print_medians(samples: dict[str, list[float]]) -> None:
    """The tables below the goals: what the ratios were made of."""

    def median(value: str, unit: tuple[str, float]) -> str:
        got = samples.get(value)
        return f"{_number(statistics.median(got) / unit[1])}" if got else ""

    rows = []
    for name, title in _SPAWN.items():
        cells = [median(f"{name}@{'C-' if name == 'c-run' else ''}{size}", US) for size in SIZES]
        if any(cells):
            rows.append([title, *cells])
    if rows:
        print("\nSpawn and wait, median µs by the parent's size\n")
        _print(["method", *SIZES], rows)
    for title, table, unit in (("Waiting", {f"{k}@20M": v for k, v in _WAIT.items()}, US), ("Guard", _JOB, MS)):
        rows = [
            [what, median(value, unit), _number(p99(samples[value]) / unit[1]), str(len(samples[value]))]
            for value, what in table.items()
            if samples.get(value)
        ]
        if rows:
            print(f"\n{title}, {unit[0]}\n")
            _print(["", "median", "p99", "samples"], rows)
    rows = [
        [title, f"{median(f'{name}@{FRESH}', unit)} {unit[0]}"]
        for name, (title, unit) in _SCALE.items()
        if samples.get(f"{name}@{FRESH}")
    ]
    if rows:
        print("\nScale, medians\n")
        _print(["", "now"], rows)


def print_goals(figures: list[Figure]) -> None:
    """The goals table."""
    rows = []
    for figure in figures:
        row = figure.row
        unit = f" {row.unit[0]}" if row.unit[0] else ""
        now, spread = "-", ""
        if figure.value is not None:
            now = _number(figure.value) + unit
            spread = f"{_number(figure.low)}-{_number(figure.high)}"
        goal = f"{row.goal[0]} {row.goal[1]:g}{unit}" if row.goal else ""
        rows.append([row.title, now, spread, row.seen, goal, figure.verdict])
    print("\nGoals (medians of one shuffled run; the interval holds nine of ten resamplings)\n")
    _print(["ratio or figure", "now", "interval", "prototype", "goal", "verdict"], rows)
