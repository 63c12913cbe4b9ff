"""As users have it: installed, and called by raydp-wrap."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("raydp_wrap_home", "no_leftover_processes")


def raydp_wrap(*arguments: str, code: int = 0) -> str:
    command = [sys.executable, "-m", "raydp_wrap", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def test_a_run_is_told_and_counted(tmp_path: Path) -> None:
    path = str(tmp_path / "outcomes.jsonl")
    raydp_wrap("run", "--sink", f"jsonl:{path}", "--", "true")
    raydp_wrap("run", "--sink", f"jsonl:{path}", "--", "sh", "-c", "exit 3", code=3)
    assert json.loads(raydp_wrap("tally", "--json", path)) == {"FINISHED": 1, "FAILED": 1}
    assert raydp_wrap("tally", path).split() == ["1", "FAILED", "1", "FINISHED"]


def test_a_wrong_request_is_one_sentence(tmp_path: Path) -> None:
    assert "name a file" in raydp_wrap("tally", str(tmp_path / "nowhere"), code=125)
    assert "needs a file" in raydp_wrap("run", "--sink", "jsonl:", "--", "true", code=125)


def test_it_is_listed() -> None:
    (plugin,) = [one for one in json.loads(raydp_wrap("plugins", "--json"))["plugins"] if one["name"] == "example"]
    assert (plugin["state"], plugin["sinks"], plugin["commands"]) == ("loaded", ["jsonl"], ["tally"])
