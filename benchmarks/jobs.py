"""``python -m benchmarks.jobs``: supervised jobs beside Ray's, in one run of shuffled rounds; and many at once."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import jobs_scale, jobs_store
from benchmarks.children import NoCompilerError
from benchmarks.goals import MS, RATIO, Goal, S, plain, ratio
from benchmarks.jobs_entrypoint import Entrypoint
from benchmarks.jobs_home import COMMAND, home
from benchmarks.jobs_ray import ray
from benchmarks.table import figure_of, p99, print_goals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.jobs_ray import Ray

ROOT = Path(__file__).parent.parent
_QUICK = {"warm": 8, "cold": 3, "ray": 3, "running": 50, "seconds": 3.0, "crowd": 100, "queue": 500, "stored": 5_000}
_FULL = {
    "warm": 40, "cold": 10, "ray": 12, "running": 500, "seconds": 20.0, "crowd": 2_000, "queue": 10_000,
    "stored": 100_000,
}  # fmt: skip
_AT_ONCE = 50
_RAY_JOBS = 3
_PARTS = ("rounds", "idle", "crowd", "queue", "store")

_KB, _MB, _PERCENT, _EACH, _RATE = ("kB", 1e3), ("MB", 1e6), ("%", 1), ("", 1), ("/s", 1)

Samples = dict[str, list[float]]


def _goals(sizes: argparse.Namespace) -> list[Goal]:
    running, crowd, queue = f"{sizes.running} running jobs", f"{sizes.crowd:,} jobs at once", f"{sizes.queue:,} jobs"
    return [
        Goal("submit -> entrypoint runs, Ray / ours", ratio, ("ray run", "run"), RATIO, ("≥", 50)),
        Goal("... no supervisor yet", ratio, ("ray run", "run cold"), RATIO),
        Goal("... by the command line", ratio, ("ray run command", "run command"), RATIO, ("≥", 50)),
        Goal("exit -> visible, Ray / ours", ratio, ("ray visible", "visible"), RATIO, ("≥", 20)),
        Goal("memory of a running job, Ray's RSS / our PSS", ratio, ("ray rss", "memory"), RATIO, ("≥", 200)),
        Goal("... Ray's PSS / our PSS", ratio, ("ray pss", "memory"), RATIO),
        Goal(f"{running}: idle processor", plain, ("idle cpu",), _PERCENT, ("≤", 1)),
        Goal("... times a second that one of them wakes up", plain, ("idle switches",), _EACH),
        Goal(f"{crowd}: all submitted", plain, ("crowd submitted",), S),
        Goal("... then the first runs", plain, ("crowd first",), S),
        Goal("... and all run", plain, ("crowd started",), S),
        Goal("... all stopped, and gone", plain, ("crowd stopped",), S),
        Goal("... survivors", plain, ("crowd survivors",), _EACH, ("≤", 0)),
        Goal("... the supervisor's descriptors, each", plain, ("crowd descriptors",), _EACH),
        Goal(f"{queue} through a queue of {_AT_ONCE}: done", plain, ("queue rate",), _RATE),
        Goal("... submitted, one after the other meanwhile", plain, ("queue submit rate",), _RATE),
        Goal("... lost, or run twice", plain, ("queue lost",), _EACH, ("≤", 0)),
    ]


_MEDIANS = {
    "run": ("submit -> entrypoint runs", MS),
    "ray run": ("... Ray", MS),
    "run cold": ("... no supervisor yet", MS),
    "run command": ("... by raydp-wrap jobs submit", MS),
    "ray run command": ("... by ray job submit", MS),
    "submit": ("submit -> it returns", MS),
    "ray submit": ("... Ray", MS),
    "visible": ("exit -> visible", MS),
    "ray visible": ("... Ray, asked without a pause", MS),
    "memory guard": ("PSS of a running job's guard", _KB),
    "memory supervisor": ("PSS of the supervisor, for each job", _KB),
    "memory supervisor itself": ("... with none", _MB),
    "ray rss": ("RSS of a running job's JobSupervisor", _MB),
    "ray pss": ("... PSS", _MB),
}


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.jobs", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few samples, few jobs")
    for name, of in {
        "warm": "samples of ours", "cold": "samples without a supervisor, and by the command line",
        "ray": "samples of Ray",
        "running": "jobs that run, for memory and idle processor", "crowd": "jobs that run at once",
        "queue": "jobs that go through the queue", "stored": "jobs that have ended, in the store",
    }.items():  # fmt: skip
        parser.add_argument(f"--{name}", type=int, metavar="N", help=f"{of} ({_FULL[name]:,}; quick: {_QUICK[name]:,})")
    parser.add_argument("--seconds", type=float, metavar="S", help="of idling (20; quick: 3)")
    parser.add_argument("--only", choices=_PARTS, action="append", help="only this part (may be given again)")
    parser.add_argument("--seed", type=int, help="of the order (random)")
    parser.add_argument("--with-ray", type=Path, default=ROOT / ".venv-ray", metavar="DIR", help="Ray's environment")
    parser.add_argument("--dir", type=Path, default=Path.cwd(), metavar="DIR", help="a directory on a real disk (here)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all samples there, too")
    options = parser.parse_args(argv)
    for name, default in (_QUICK if options.quick else _FULL).items():
        if getattr(options, name) is None:
            setattr(options, name, default)
        if getattr(options, name) <= 0:
            parser.error(f"--{name} must be more than 0")
    options.only = options.only or _PARTS
    options.seed = random.SystemRandom().randrange(1 << 32) if options.seed is None else options.seed
    return options


@contextlib.contextmanager
def _node(environment: Path, missing: dict[str, str]) -> Iterator[Ray | None]:
    programs = (environment / "bin").absolute()
    if (programs / "ray").exists():
        with ray(programs) as node:
            yield node
    else:
        why = f"{environment} has no Ray: make .venv-ray/ray.stamp makes it, --with-ray DIR names another"
        missing.update(dict.fromkeys(("ray run", "ray run command", "ray visible", "ray rss", "ray pss"), why))
        yield None


def _rounds(options: argparse.Namespace, entrypoint: Entrypoint, samples: Samples, missing: dict[str, str]) -> None:
    """One job at a time, on either side, in random order."""
    with home(options.dir) as ours, _node(options.with_ray, missing) as node:
        ways: dict[str, tuple[Callable[[Entrypoint], dict[str, float]], int]] = {
            "warm": (ours.warm, options.warm),
            "cold": (ours.cold, options.cold),
        }
        if _has_jobs_command():
            ways["command"] = (ours.command, options.cold)
        else:
            missing["run command"] = "there is no such command"
        if node is not None:
            ways["ray"] = (node.warm, options.ray)
            ways["ray command"] = (node.command, max(2, options.ray // 3))
        for way, _ in ways.values():
            way(entrypoint)  # the first one warms up, and does not count
        order = [name for name, (_, count) in ways.items() for _ in range(count)]
        random.Random(options.seed).shuffle(order)
        for name in order:
            _add(samples, ways[name][0](entrypoint))
        if node is not None:
            samples.update(node.memory(entrypoint, _RAY_JOBS))


def _has_jobs_command() -> bool:
    command = [*COMMAND, "jobs", "submit", "--help"]
    return subprocess.run(command, check=False, capture_output=True, stdin=subprocess.DEVNULL).returncode == 0


def _add(samples: Samples, found: dict[str, float]) -> None:
    for name, value in found.items():
        samples.setdefault(name, []).append(value)


def _measure(options: argparse.Namespace, folder: Path, missing: dict[str, str]) -> Samples:
    samples: Samples = {}
    entrypoint = Entrypoint(folder)
    parts: dict[str, Callable[[], dict[str, float]]] = {
        "idle": lambda: jobs_scale.idle(options.dir, entrypoint, options.running, options.seconds),
        "crowd": lambda: jobs_scale.crowd(options.dir, entrypoint, options.crowd),
        "queue": lambda: jobs_scale.queue(options.dir, entrypoint, folder / "notes", options.queue, _AT_ONCE),
    }
    if "rounds" in options.only:
        _rounds(options, entrypoint, samples, missing)
    for name, part in parts.items():
        if name in options.only:
            _add(samples, part())
    entrypoint.close()
    return samples


def _print_medians(samples: Samples) -> None:
    print(f"{'':42} {'median':>9} {'least':>9} {'p99':>9}  samples")
    for name, (title, (unit, scale)) in _MEDIANS.items():
        if values := samples.get(name):
            figures = [figure / scale for figure in (statistics.median(values), min(values), p99(values))]
            print(f"{title:42} " + " ".join(f"{figure:9.2f}" for figure in figures) + f"  {unit:3} {len(values):4}")


def main(argv: Sequence[str] | None = None) -> int:
    """Print the goals and what they are made of; 1 if a job was lost."""
    options = _arguments(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what runs is ended first
    print(f"load {os.getloadavg()[0]:.1f}, Python {sys.version.split()[0]}, {os.cpu_count()} processors", end="")
    print(f", seed {options.seed}\n", flush=True)
    missing: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="raydp-bench-") as folder:
        try:
            samples = _measure(options, Path(folder), missing)
        except jobs_scale.Lost as lost:
            print(f"LOST: {lost}", file=sys.stderr)
            return 1
        except NoCompilerError as error:
            sys.exit(str(error))
    _print_medians(samples)
    print_goals([figure_of(row, samples, missing) for row in _goals(options)])
    for what in sorted(set(missing.values())):
        print(f"not measured: {what}")
    if options.json:
        options.json.write_text(json.dumps(samples))
    if "store" in options.only:
        print()
        jobs_store.main(["--jobs", str(options.stored), "--dir", str(options.dir)])
    print(f"\nload {os.getloadavg()[0]:.1f} at the end")
    return 0


if __name__ == "__main__":
    sys.exit(main())
