"""The goals, and what has to be measured for them. A value is named METHOD@PARENT."""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.parents import FRESH, SIZES

if TYPE_CHECKING:
    from collections.abc import Callable

MS, US, S, KB, BYTE, RATIO = ("ms", 1e6), ("µs", 1e3), ("s", 1e9), ("kB", 1024), ("B", 1), ("", 1)


@dataclass(frozen=True)
class Goal:
    """A row: ``kind`` makes one figure of the medians of ``values``; a goal of None is for information only."""

    title: str
    kind: Callable[..., float]
    values: tuple[str, ...]
    unit: tuple[str, float] = RATIO
    goal: tuple[str, float] | None = None
    seen: str = ""  # in the prototype

    def is_met(self, figure: float) -> bool | None:
        """Whether FIGURE, in the unit, meets the goal; None where there is none."""
        if self.goal is None:
            return None
        compare = operator.le if self.goal[0] == "≤" else operator.ge
        return bool(compare(figure, self.goal[1]))


def _plain(value: float) -> float:
    return value


ratio, added, plain = operator.truediv, operator.sub, _plain


def _ratio(title: str, top: str, bottom: str, goal: tuple[str, float] | None = None, seen: str = "") -> Goal:
    return Goal(title, ratio, (top, bottom), RATIO, goal, seen)


def _of_sizes(
    title: str, top: str, bottom: str, goals: dict[str, tuple[str, float]], seen: dict[str, str]
) -> list[Goal]:
    return [
        _ratio(f"{title}, parent {size}", f"{top}@{size}", f"{bottom}@{size}", goals[size], seen.get(size, ""))
        for size in SIZES
    ]


def goals(children: int) -> list[Goal]:
    """Every row, for a scale of CHILDREN children."""
    ours, memory = "detect-process@20M", f"scale-memory@{FRESH}"
    return [
        _ratio("cffi call / the same C function", "cffi@20M", "c-all@20M", ("≤", 1.10), "1.05"),
        *_of_sizes(
            "cffi with every feature / raw C vfork", "cffi", "c-vfork",
            dict.fromkeys(SIZES, ("≤", 1.35)), dict.fromkeys(SIZES, "1.17-1.28"),
        ),
        *_of_sizes(
            "Popen() / cffi", "popen", "cffi", dict.fromkeys(SIZES, ("≥", 1.10)), dict.fromkeys(SIZES, "1.15-1.36")
        ),
        *_of_sizes(
            "Popen(preexec_fn) / cffi", "popen-preexec", "cffi",
            {"20M": ("≥", 8), "1G": ("≥", 100), "4G": ("≥", 300)}, {"20M": "10.5", "1G": "157", "4G": "454"},
        ),
        _ratio("Popen(shell=True) / cffi", "popen-shell@20M", "cffi@20M", ("≥", 6), "8.7"),
        _ratio("asyncio, pidfd watcher / cffi", "asyncio-pidfd@20M", "cffi@20M", ("≥", 2), "2.4"),
        _ratio("asyncio, threaded watcher / cffi", "asyncio-thread@20M", "cffi@20M", ("≥", 3), "4.0"),
        _ratio("cffi at 4G / at 20M", "cffi@4G", "cffi@20M", ("≤", 1.5), "1.36"),
        _ratio("Ray's 100 ms poll / our exit detection", "detect-poll@20M", ours, ("≥", 100), "182"),
        _ratio("Popen.wait(timeout) / our exit detection", "detect-popen-timeout@20M", ours, ("≥", 30), "60"),
        _ratio("100 ms poll / our socket readiness", "ready-poll@20M", "ready-core@20M", ("≥", 100), "355"),
        Goal("guard: time added to a job, from C", added, ("c-guard@C-20M", "c-run@C-20M"), MS, ("≤", 0.6), "0.37"),
        Goal("guard: time added to a job, from Python", added, ("job-guard@20M", "job-direct@20M"), MS, ("≤", 0.6)),
        Goal("guard: whole tree dead after SIGKILL of the owner", plain, ("orphan-tree@20M",), MS, ("≤", 20), "3"),
        Goal("guard: memory (RSS)", plain, ("guard-rss@20M",), KB, ("≤", 64), "24"),
        Goal(f"{children:,} children: supervisor memory, each", plain, (memory,), BYTE, ("≤", 128), "39"),
        Goal(f"{children:,} children: SIGKILL and reap all", plain, (f"scale-kill@{FRESH}",), S, ("≤", 0.5), "0.15"),
        # Beyond the goals: what they leave open.
        _ratio("cffi call / the same C function in a small C program", "cffi@20M", "c-run@C-20M"),
        _ratio("Process(...).wait() / cffi, both with every feature", "process-all@20M", "cffi@20M"),
        _ratio("Popen() / Process()", "popen@20M", "process@20M"),
        _ratio("Popen(start_new_session) / Process(every feature)", "popen-session@20M", "process-all@20M"),
        Goal("guard, reaped too: added, from C", added, ("c-guard-reaped@C-20M", "c-run@C-20M"), MS),
        Goal("guard, reaped too: added, from Python", added, ("job-guard-reaped@20M", "job-direct@20M"), MS),
        Goal("guard and durable record: added", added, ("job-guard-record@20M", "job-direct@20M"), MS),
        Goal("guard and cgroup: added", added, ("job-cgroup@20M", "job-direct@20M"), MS),
        Goal("guard, cgroup and durable record: added", added, ("job-cgroup-record@20M", "job-direct@20M"), MS),
        Goal("guard and cgroup: whole tree dead", plain, ("orphan-cgroup@20M",), MS, None, "0.5"),
    ]  # fmt: skip


_EVERY_SIZE = (
    "c-vfork", "c-all", "cffi", "process", "process-all", "popen", "popen-session", "posix-spawn", "psutil",
    "asyncio-pidfd", "asyncio-thread", "popen-shell", "popen-preexec",
)  # fmt: skip
_ONCE = (
    "detect-core",
    "detect-process",
    "detect-popen",
    "detect-popen-timeout",
    "detect-poll",
    "ready-core",
    "ready-poll",
)


def every_value(rows: list[Goal]) -> set[str]:
    """What the whole run measures: the goals' values, and those that only stand in the tables of medians."""
    return {
        *(value for row in rows for value in row.values),
        *(f"{method}@{size}" for method in _EVERY_SIZE for size in SIZES),
        *(f"c-run@C-{size}" for size in SIZES),
        *(f"{method}@20M" for method in _ONCE),
        *(f"{method}@{FRESH}" for method in ("scale-spawn", "scale-notice")),
    }


def source_of(value: str) -> tuple[str, str]:
    """(parent, method) that yields VALUE."""
    name, _, parent = value.partition("@")
    return parent, re.sub(r"^scale-.*|-reaped$", lambda found: "scale" if found[0][0] == "s" else "", name)


def samples_of(parent: str, method: str, base: int) -> int:
    """How often METHOD is sampled, where a cheap one is sampled BASE times."""
    if method == "scale":
        return max(1, base // 60)
    if method.startswith("orphan") or method == "guard-rss":
        return max(3, base // 10)
    if method == "popen-preexec" and parent != "20M":
        return max(3, base // 4)
    if method.startswith(("detect", "ready")):
        return max(5, base // 2)
    return base
