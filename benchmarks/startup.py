"""``python -m benchmarks.startup``: what starting raydp-wrap costs, with and without plugins, in one shuffled run."""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.goals import MS, Goal, added, ratio
from benchmarks.table import figure_of, p99, print_goals

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parent.parent
SPARK = ROOT / "plugins" / "raydp-wrap-spark"

# As an installer writes it.
SCRIPT = "import sys\nfrom raydp_wrap.cli import main\nsys.exit(main())\n"
LAZY = """
from raydp_wrap.hookspecs import hookimpl
@hookimpl
def raydp_wrap_build_launch(tool):
    if tool == "heavy-submit":
        import raydp_bench_heavy
@hookimpl
def raydp_wrap_commands():
    def heavy():
        import raydp_bench_heavy
    return {"heavy": heavy}
"""
HOOKED = """
from raydp_wrap.hookspecs import hookimpl
@hookimpl
def raydp_wrap_edit_launch(launch): return None
@hookimpl
def raydp_wrap_evidence(record): return []
@hookimpl
def raydp_wrap_event(event): return None
"""
HEAVY = "import time\ntime.sleep(1)\n"

RUN = ("run", "--", "/bin/true")


def _plugin(site: Path, name: str, module: str, source: str | None = None) -> None:
    info = site / f"raydp_bench_{name}-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: raydp-bench-{name}\nVersion: 1\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[raydp_wrap]\nbench-{name} = {module}\n", encoding="utf-8")
    if source is not None:
        (site / f"{module}.py").write_text(source, encoding="utf-8")


class Commands:
    """What is measured: by name, the command and its environment."""

    def __init__(self, folder: Path, before: Path | None) -> None:
        self.all: dict[str, tuple[list[str], dict[str, str]]] = {}
        site = folder / "site"
        site.mkdir()
        _plugin(site, "spark", "raydp_wrap_spark.plugin")
        _plugin(site, "lazy", "raydp_bench_lazy", LAZY)
        _plugin(site, "hooked", "raydp_bench_hooked", HOOKED)
        (site / "raydp_bench_heavy.py").write_text(HEAVY, encoding="utf-8")
        script = folder / "raydp-wrap"
        script.write_text(SCRIPT, encoding="utf-8")
        base = {
            **os.environ,
            "RAYDP_WRAP_HOME": str(folder / "home"),
            # Every module from bytecode that was written once, as after an installation.
            "PYTHONPYCACHEPREFIX": str(folder / "cache"),
        }
        for name in ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "PYTHONPATH", "RAYDP_WRAP_SINKS"):
            base.pop(name, None)
        self.all["true"] = (["/bin/true"], base)
        self.all["pass"] = ([sys.executable, "-c", "pass"], base)
        self.all["metadata"] = (
            [sys.executable, "-c", "import importlib.metadata as m; m.entry_points(group='raydp_wrap')"],
            base,
        )
        for label, root in {"": ROOT, "before ": before}.items():
            if root is None:
                continue
            spark = root / SPARK.relative_to(ROOT)
            env = {**base, "PYTHONPATH": os.pathsep.join(map(str, (site, root, spark))), "RAYDP_WRAP_PLUGINS": "none"}
            ours = [sys.executable, str(script)]
            self.all[f"{label}version"] = ([*ours, "--version"], env)
            self.all[f"{label}help"] = ([*ours, "run", "--help"], env)
            bare = {**env, "PYTHONPATH": os.pathsep.join(map(str, (root,)))}
            self.all[f"{label}run"] = ([*ours, *RUN], bare)
            for name in ("spark", "lazy", "hooked"):
                self.all[f"{label}run-{name}"] = ([*ours, *RUN], {**env, "RAYDP_WRAP_PLUGINS": f"bench-{name}"})


def _sample(command: list[str], env: dict[str, str]) -> float:
    """Nanoseconds from the start to the reaping.

    Raises:
        RuntimeError: it failed.

    """
    null = [(os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_RDWR, 0) for fd in (0, 1)]
    began = time.perf_counter_ns()
    pid = os.posix_spawn(command[0], command, env, file_actions=null)
    _, status = os.waitpid(pid, 0)
    took = time.perf_counter_ns() - began
    code = os.waitstatus_to_exitcode(status)
    if code != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {code}")
    return float(took)


def _goals(*, before: bool) -> list[Goal]:
    rows = [
        Goal("raydp-wrap --version / python -c pass", ratio, ("version", "pass")),
        Goal("raydp-wrap --version: added to python -c pass", added, ("version", "pass"), MS),
        Goal("python -c pass / /bin/true", ratio, ("pass", "true")),
        Goal("importlib.metadata.entry_points: added to python -c pass", added, ("metadata", "pass"), MS),
        Goal("raydp-wrap run --help / python -c pass", ratio, ("help", "pass")),
        Goal("raydp-wrap run -- /bin/true, no plugin / python -c pass", ratio, ("run", "pass")),
        Goal("raydp-wrap run -- /bin/true, no plugin: added to /bin/true", added, ("run", "true"), MS),
        Goal("... with the spark plugin / no plugin", ratio, ("run-spark", "run")),
        Goal("... with a plugin that imports a 1 s dependency lazily / no plugin", ratio, ("run-lazy", "run")),
        Goal("... with a plugin in every hook of a run / no plugin", ratio, ("run-hooked", "run")),
        Goal("... with a plugin in every hook of a run: added", added, ("run-hooked", "run"), MS),
    ]
    if before:
        names = ("version", "help", "run", "run-spark", "run-lazy")
        rows += [Goal(f"{name}: now / before", ratio, (name, f"before {name}")) for name in names]
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """Print the medians and their ratios; a measurement that fails ends it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup", description=__doc__)
    parser.add_argument("--samples", type=int, default=60, metavar="N", help="of each command (60)")
    parser.add_argument("--seed", type=int, help="of the order (random)")
    parser.add_argument("--before", type=Path, metavar="DIR", help="another checkout, built, to be compared with")
    options = parser.parse_args(argv)
    if options.samples < 1:
        parser.error("--samples must be at least 1")
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 32)
    print(f"load {os.getloadavg()[0]:.1f}, Python {sys.version.split()[0]}, {options.samples} samples, seed {seed}")
    with tempfile.TemporaryDirectory(prefix="raydp-bench-") as folder:
        commands = Commands(Path(folder), options.before).all
        for command, env in commands.values():
            for _ in range(3):
                _sample(command, env)
        order = [name for name in commands for _ in range(options.samples)]
        random.Random(seed).shuffle(order)
        samples: dict[str, list[float]] = {name: [] for name in commands}
        for name in order:
            samples[name].append(_sample(*commands[name]))
    print(f"\n{'':24} {'median':>8} {'least':>8} {'p99':>8}  ms")
    for name, values in samples.items():
        figures = [statistics.median(values), min(values), p99(values)]
        print(f"{name:24} " + " ".join(f"{figure / MS[1]:8.2f}" for figure in figures))
    print_goals([figure_of(row, samples, {}) for row in _goals(before=options.before is not None)])
    print(f"\nload {os.getloadavg()[0]:.1f} at the end")
    return 0


if __name__ == "__main__":
    sys.exit(main())
