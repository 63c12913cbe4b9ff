"""``python -m benchmarks.raydp``: from the command raydp-submit to the start of its JVM, RayDP's script and ours."""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
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
STAMP = Path(__file__).parent / "native" / "stamp.c"
_OTHERS = ("SPARK_", "PYSPARK_", "RAY_", "RAYDP_", "STAMP")


class Submits:
    """What is measured: by name, the command. Both get the same environment, and a java that notes the time."""

    def __init__(self, folder: Path, venv: Path) -> None:
        script = next(venv.glob("lib/python*/site-packages/raydp/bin/raydp-submit"), None)
        if script is None:
            raise SystemExit(f"{venv} has no RayDP: make .venv-raydp/raydp.stamp makes it, --raydp DIR names another.")
        (folder / "bin").mkdir()
        subprocess.run([*os.environ.get("CC", "cc").split(), "-O2", "-o", folder / "bin" / "java", STAMP], check=True)
        self._file = folder / "stamp"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_OTHERS)}
        self._env = {
            **kept,
            "PATH": f"{venv}/bin:{kept['PATH']}",
            "JAVA_HOME": str(folder),
            "STAMP": str(self._file),
            "RAYDP_WRAP_HOME": str(folder / "home"),
        }
        self.commands = {"script": ["bash", str(script)], "ours": [str(Path(sys.executable).parent / "raydp-submit")]}
        if (venv / "bin" / "raydp-submit").exists():
            self.commands["beside"] = [str(venv / "bin" / "raydp-submit")]

    def sample(self, name: str) -> float:
        """Nanoseconds from the start of the command to that of its java.

        Raises:
            RuntimeError: it failed, or started none.

        """
        self._file.unlink(missing_ok=True)
        began = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        command = [*self.commands[name], "--name", "benchmark", "app.py"]
        done = subprocess.run(command, env=self._env, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if done.returncode != 0 or not self._file.exists():
            raise RuntimeError(f"{name} ended with {done.returncode}: {done.stderr.decode(errors='replace')}")
        return float(int.from_bytes(self._file.read_bytes(), sys.byteorder) - began)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the medians and their ratios; a measurement that fails ends it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.raydp", description=__doc__)
    parser.add_argument("--samples", type=int, default=15, metavar="N", help="of each command (15)")
    parser.add_argument("--seed", type=int, help="of the order (random)")
    parser.add_argument("--raydp", type=Path, default=ROOT / ".venv-raydp", metavar="DIR", help="its environment")
    options = parser.parse_args(argv)
    if options.samples < 1:
        parser.error("--samples must be at least 1")
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 32)
    print(f"load {os.getloadavg()[0]:.1f}, Python {sys.version.split()[0]}, {options.samples} samples, seed {seed}")
    with tempfile.TemporaryDirectory(prefix="raydp-bench-") as folder:
        submits = Submits(Path(folder), options.raydp.absolute())
        for name in submits.commands:
            submits.sample(name)
        order = [name for name in submits.commands for _ in range(options.samples)]
        random.Random(seed).shuffle(order)
        samples: dict[str, list[float]] = {name: [] for name in submits.commands}
        for name in order:
            samples[name].append(submits.sample(name))
    print(f"\n{'':10} {'median':>8} {'least':>8} {'p99':>8}  ms from the command to its java")
    for name, values in samples.items():
        figures = [statistics.median(values), min(values), p99(values)]
        print(f"{name:10} " + " ".join(f"{figure / MS[1]:8.1f}" for figure in figures))
    rows = [
        Goal("ours, in another environment than RayDP / RayDP's script", ratio, ("ours", "script")),
        Goal("... saved by it", added, ("script", "ours"), MS),
    ]
    if "beside" in samples:
        rows.append(Goal("ours, in RayDP's environment / RayDP's script", ratio, ("beside", "script")))
    print_goals([figure_of(row, samples, {}) for row in rows])
    print(f"\nload {os.getloadavg()[0]:.1f} at the end")
    return 0


if __name__ == "__main__":
    sys.exit(main())
