"""Every hook is documented under its signature, and tested; and there are few."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from raydp_wrap import hookspecs

ROOT = Path(__file__).parent.parent
HOOKS = {name: value for name, value in vars(hookspecs).items() if name.startswith("raydp_wrap_")}


def signature(name: str) -> str:
    return f"{name}({', '.join(inspect.signature(HOOKS[name]).parameters)})"


def headings() -> list[str]:
    text = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    return re.findall(r"^## `(raydp_wrap_.*)`$", text, re.MULTILINE)


@pytest.mark.requirement("plugin-3.1")
def test_there_are_at_most_ten() -> None:
    assert 0 < len(HOOKS) <= 10


@pytest.mark.requirement("plugin-3.1")
def test_each_has_one_heading_with_its_signature() -> None:
    assert sorted(headings()) == sorted(signature(name) for name in HOOKS)


@pytest.mark.requirement("plugin-3.1")
@pytest.mark.parametrize("name", HOOKS)
def test_a_heading_is_followed_by_prose(name: str) -> None:
    text = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    section = text.partition(f"## `{signature(name)}`\n")[2].partition("\n## ")[0]
    assert len(section.split()) > 30
    assert re.search(r"\d+\s+seconds", section), "the limit of time"
    assert "Called" in section, "who calls it"


@pytest.mark.requirement("plugin-3.1")
@pytest.mark.parametrize("name", HOOKS)
def test_each_is_a_signature_and_one_line(name: str) -> None:
    hook = HOOKS[name]
    assert hook.raydp_wrap_spec
    assert hook.__doc__
    assert "\n" not in hook.__doc__
    body = inspect.getsource(hook).partition('"""')[2]
    assert body.endswith('"""\n'), "a hook has no code"


@pytest.mark.requirement("plugin-3.1")
@pytest.mark.parametrize("name", HOOKS)
def test_each_is_named_by_a_test(name: str) -> None:
    word = f'"hook-{name.removeprefix("raydp_wrap_").replace("_", "-")}"'
    named = [
        path.name
        for path in ROOT.glob("tests/**/test_*.py")
        for arguments in re.findall(r"mark\.requirement\(([^)]*)\)", path.read_text(encoding="utf-8"))
        if word in arguments
    ]
    assert named, f"no test is marked {word}"


def limits() -> dict[str, float]:
    """The limits that the documentation names, by what the code has."""
    from raydp_wrap.plugins import calls, hooks, registry  # noqa: PLC0415 - only here

    five = dict.fromkeys(("edit_launch", "watch", "evidence", "sinks", "backends", "commands"), calls.LIMIT)
    others = {"build_launch": hooks.BUILD_LIMIT, "stop_remote": hooks.STOP_LIMIT, "event": hooks.EVENT_LIMIT}
    others["checks"] = hooks.CHECKS_LIMIT
    assert registry.IMPORT_LIMIT == 10, "the section on entry points says ten seconds"
    return {f"raydp_wrap_{name}": limit for name, limit in (five | others).items()}


@pytest.mark.requirement("plugin-3.1")
@pytest.mark.parametrize("name", HOOKS)
def test_the_limits_of_time_are_true(name: str) -> None:
    text = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    section = text.partition(f"## `{signature(name)}`\n")[2].partition("\n## ")[0]
    said = re.search(r"(\d+)\s+seconds", section)
    assert said
    assert float(said[1]) == limits()[name]
