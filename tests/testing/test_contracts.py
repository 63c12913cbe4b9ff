"""The contracts see what breaks them: see broken_plugins.py."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from programs.facts import environment

BROKEN = Path(__file__).with_name("broken_plugins.py")
ROOT = BROKEN.parent.parent.parent

pytestmark = [pytest.mark.slow, pytest.mark.requirement("plugin-3.7")]


def expected() -> list[str]:
    """The tests that have to fail, as CLASS::TEST."""
    found = []
    text = BROKEN.read_text(encoding="utf-8")
    for name, body in re.findall(r"^class (Test\w+)\(.*?\):\n(.*?)(?=^class |\Z)", text, re.MULTILINE | re.DOTALL):
        (tests,) = re.findall(r"FAILS = \((.*?)\)", body)
        found += [f"{name}::{test}" for test in re.findall(r'"(\w+)"', tests)]
    return found


def test_each_contract_sees_what_breaks_it() -> None:
    wanted = expected()
    assert len(wanted) > 15
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rA", "--import-mode=importlib"]
    ids = [f"{BROKEN}::{one}" for one in wanted]
    right = [f"{BROKEN}::{one}::{test}" for one, test in sorted({_right(one) for one in wanted})]
    done = subprocess.run(
        [*command, "-c", os.devnull, "--rootdir", str(ROOT), *ids, *right],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    ended = re.findall(r"^(PASSED|FAILED|ERROR|SKIPPED) \S*?broken_plugins\.py::(\w+::\w+)", done.stdout, re.MULTILINE)
    failed = {test for how, test in ended if how == "FAILED"}
    passed = {test for how, test in ended if how == "PASSED"}
    assert set(wanted) - failed == set(), done.stdout
    assert {test for test in passed | failed if test.startswith("TestRight")} <= passed - failed, done.stdout
    assert any(test.startswith("TestRight") for test in passed)


def _right(one: str) -> tuple[str, str]:
    """The same test of what is right."""
    name, _, test = one.partition("::")
    backend = name in ("TestDeaf", "TestEndless", "TestMangling", "TestAgain", "TestPossessive")
    return ("TestRightBackend" if backend else "TestRight"), test
