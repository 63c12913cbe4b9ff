"""One shuffled run: every sample of every method and parent, in random order."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from benchmarks.goals import samples_of, source_of
from benchmarks.parents import FailedError, NotMeasuredError

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable

    from benchmarks.parents import Parents


class Results:
    """Samples by value; for those without, why; and the measurements that failed."""

    def __init__(self) -> None:
        self.samples: dict[str, list[float]] = {}
        self.missing: dict[str, str] = {}
        self.failed: dict[str, str] = {}


def schedule(values: Iterable[str], base: int, chance: random.Random) -> list[tuple[str, str]]:
    """(parent, method) once for each sample, shuffled."""
    sources = sorted({source_of(value) for value in values})
    planned = [source for source in sources for _ in range(samples_of(*source, base))]
    chance.shuffle(planned)
    return planned


def _progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{done}/{total} samples", end="\n" if done == total else "", file=sys.stderr, flush=True)


def run(parents: Parents, values: set[str], base: int, chance: random.Random) -> Results:
    """Measure VALUES. The first call of each method in each parent is a warm-up and does not count."""
    planned = schedule(values, base, chance)
    parents.start(sorted({parent for parent, _ in planned}))
    results = Results()
    excluded: set[tuple[str, str]] = set()
    warm_ups = [source for source in sorted(set(planned)) if source[1] != "scale"]
    for done, (parent, method) in enumerate([*warm_ups, *planned], 1 - len(warm_ups)):
        if (parent, method) in excluded:
            continue
        try:
            got = parents.sample(parent, method)
        except (NotMeasuredError, FailedError) as error:
            excluded.add((parent, method))
            reasons = {value: str(error) for value in values if source_of(value) == (parent, method)}
            results.missing.update(reasons)
            if isinstance(error, FailedError):
                results.failed[f"{method}@{parent}"] = str(error)
            continue
        if done > 0:
            _progress(done, len(planned))
            for name, value in got.items():
                results.samples.setdefault(f"{name}@{parent}", []).append(value)
    for value in results.missing:
        results.samples.pop(value, None)
    return results
