"""Every line of docs/requirements.md has a test that names it, and no test names a line that isn't there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def written() -> set[str]:
    text = (ROOT / "docs" / "requirements.md").read_text(encoding="utf-8")
    return set(re.findall(r"^\| ([a-z]+(?:-[a-z0-9.]+)+) \|", text, re.MULTILINE))


def named() -> set[str]:
    found: set[str] = set()
    for path in [*ROOT.glob("tests/**/*.py"), *ROOT.glob("plugins/*/tests/**/*.py")]:
        for arguments in re.findall(r"mark\.requirement\(([^)]*)\)", path.read_text(encoding="utf-8")):
            found.update(re.findall(r'"([^"]+)"', arguments))
    return found


def test_every_requirement_has_a_test() -> None:
    assert written() - named() == set()


def test_every_named_requirement_is_written() -> None:
    assert named() - written() == set()
