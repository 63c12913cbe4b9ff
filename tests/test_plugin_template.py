"""The template for plugins: built, installed with the core into a clean environment, called, tested."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from test_packaging import BUILT, clean_environment, run

ROOT = Path(__file__).parent.parent
TEMPLATE = Path("examples", "plugin-template")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.requirement("plugin-3.8")]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout's copy: nothing is built below the real one."""
    copy = tmp_path_factory.mktemp("template") / "source"
    shutil.copytree(ROOT, copy, ignore=BUILT)
    return copy


@pytest.fixture(scope="module")
def binaries(source: Path) -> Path:
    """A clean environment with wheels of the core and of the template."""
    binaries = clean_environment(source.parent / "venv", sys.executable)
    wheels = source.parent / "wheels"
    pip = (binaries / "python", "-m", "pip")
    run(*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", wheels, source, source / TEMPLATE)
    core, template = sorted(wheels.glob("*.whl"), key=lambda wheel: "example" in wheel.name)
    run(*pip, "install", "--quiet", core, f"{template}[test]")
    return binaries


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAYDP_WRAP_", "PYTHON"))}
    return {**kept, "RAYDP_WRAP_HOME": str(tmp_path / "home")}


def test_its_sink_is_told_and_its_command_counts(binaries: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    told = tmp_path / "outcomes.jsonl"
    wrap = binaries / "raydp-wrap"
    run(wrap, "run", "--sink", "jsonl:outcomes.jsonl", "--", "true", cwd=tmp_path, env=environment)
    (line,) = map(json.loads, told.read_text(encoding="utf-8").splitlines())
    assert (line["state"], line["exit_code"]) == ("FINISHED", 0)
    assert line["key"].startswith(line["submission_id"])
    assert run(wrap, "tally", told, env=environment).split() == ["1", "FINISHED"]
    assert "tally" in run(wrap, "--help", env=environment)


def test_it_is_listed(binaries: Path, environment: dict[str, str]) -> None:
    (plugin,) = json.loads(run(binaries / "raydp-wrap", "plugins", "--json", env=environment))["plugins"]
    assert (plugin["name"], plugin["state"], plugin["distribution"]) == ("example", "loaded", "raydp-wrap-example")
    assert plugin["hooks"] == ["raydp_wrap_commands", "raydp_wrap_sinks"]
    assert (plugin["sinks"], plugin["commands"]) == (["jsonl"], ["tally"])


def test_its_own_tests_pass(binaries: Path, source: Path, environment: dict[str, str]) -> None:
    out = run(binaries / "python", "-m", "pytest", "-q", cwd=source / TEMPLATE, env=environment)
    assert " passed" in out
    assert "skipped" not in out


def test_without_pytest_the_tools_say_what_they_need(source: Path, binaries: Path, tmp_path: Path) -> None:
    """One sentence, whatever a traceback shows above it."""
    core = next((source.parent / "wheels").glob("raydp_wrap-*.whl"))
    bare = clean_environment(tmp_path / "venv", sys.executable)
    run(bare / "python", "-m", "pip", "install", "--quiet", core)
    code = "try:\n    import raydp_wrap.testing\nexcept ImportError as error:\n    print(error)"
    assert run(bare / "python", "-c", code) == "raydp_wrap.testing needs pytest: pip install pytest, and try again.\n"
    assert run(binaries / "python", "-W", "error", "-c", code) == ""
