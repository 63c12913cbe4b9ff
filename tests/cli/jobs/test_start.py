"""What a command loads, and that it can be asked what it does."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from raydp_wrap.cli.jobs.group import jobs as group

if TYPE_CHECKING:
    from cli.jobs.conftest import Jobs

pytestmark = pytest.mark.requirement("jobs-4.1-list")

HEAVY = ("rich", "psutil", "asyncio")


def loaded(*words: str) -> set[str]:
    """Which of HEAVY are loaded when WORDS are run."""
    script = f"import sys; from raydp_wrap.cli import main; main({list(words)!r}); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], env=os.environ, capture_output=True, check=True, timeout=60)
    return set(HEAVY) & set(done.stderr.decode().split())


def test_start_up_loads_only_what_is_needed() -> None:
    assert loaded("--version") == set()
    assert not loaded("run", "--", "true") & {"rich", "psutil"}
    assert loaded("jobs", "list") == set()


def test_each_command_has_its_help(jobs: Jobs) -> None:
    said = jobs("--help")
    for name in group.list_commands(None):  # type: ignore[arg-type]
        assert f"  {name} " in said.out
        helped = jobs(name, "--help")
        assert (helped.code, helped.err) == (0, "")
        assert helped.out.startswith(f"Usage: raydp-wrap jobs {name} ")
    assert "No such command" in jobs.refused("nonsense")
