"""The environment with RayDP, which ``make .venv-raydp/raydp.stamp`` makes, and what runs in it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[4]
BIN = ROOT / ".venv-raydp" / "bin"
SITE = BIN.parent / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
SCRIPT = SITE / "raydp" / "bin" / "raydp-submit"
OURS = Path(sys.executable).parent
PROGRAMS = Path(__file__).parent / "programs"
IS_THERE = (BIN.parent / "raydp.stamp").exists()
MISSING = "RAYDP IS NOT TESTED: its environment is missing; make .venv-raydp/raydp.stamp makes it."

_OTHERS = ("SPARK_", "PYSPARK_", "RAY_", "RAYDP_")


def variables(**more: str) -> dict[str, str]:
    """The user's environment with RayDP's Python first, and nothing of Spark's, Ray's or ours but MORE."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OTHERS)}
    return {**kept, "PATH": f"{BIN}:{kept['PATH']}", **more}
