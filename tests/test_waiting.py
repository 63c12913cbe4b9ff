"""Tests wait for a marker, with a deadline: a fixed sleep is too short on one machine and too long on another."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted([*ROOT.glob("tests/**/*.py"), *ROOT.glob("plugins/*/tests/**/*.py")])
LONGEST_STEP = 0.05  # between two looks at what gives no event
FOR_EVER = 10.0  # what hangs, to be ended


def fixed_sleeps(path: Path) -> list[int]:
    """Lines that wait for a fixed time, neither stepping nor hanging, and don't say why (nothing may happen in it)."""
    found = []
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        if not (isinstance(node, ast.Call) and ast.unparse(node.func) in ("time.sleep", "sleep", "asyncio.sleep")):
            continue
        value = node.args[0] if node.args else None
        if (
            isinstance(value, ast.Constant)
            and LONGEST_STEP < value.value < FOR_EVER
            and "  # " not in lines[node.lineno - 1]
        ):
            found.append(node.lineno)
    return found


@pytest.mark.requirement("raydp-11")
def test_no_test_waits_for_a_fixed_time() -> None:
    own = [path for path in FILES if "programs" not in path.parts and path.name != "broken_plugins.py"]
    found = {str(path.relative_to(ROOT)): fixed_sleeps(path) for path in own}
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.requirement("raydp-11")
def test_a_fixed_sleep_is_seen(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("import time\ntime.sleep(0.01)\ntime.sleep(1)\ntime.sleep(1000)\n")
    assert fixed_sleeps(tmp_path / "a.py") == [3]
