"""``raydp_wrap.run``, what the package's face has, and the examples of the documentation."""

from __future__ import annotations

import doctest
import subprocess
import sys
from pathlib import Path

import pytest
from programs.facts import environment

import raydp_wrap
from raydp_wrap.client import client, job, shortcuts
from raydp_wrap.errors import UsageError
from raydp_wrap.model import TerminalState

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.requirement("jobs-4.2-run")
def test_in_the_foreground(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    outcome = raydp_wrap.run(
        ["sh", "-c", "echo $CODE; pwd; exit $CODE"],
        env={"CODE": "7"},
        cwd=tmp_path,
        name="seven",
        tags={"team": "blue"},
        sinks=[f"file:{tmp_path}/told.json"],
    )
    assert (outcome.state, outcome.exit_code, outcome.name) == (TerminalState.FAILED, 7, "seven")
    assert outcome.tags == {"team": "blue"}
    assert capfd.readouterr().out == f"7\n{tmp_path}\n"
    assert outcome.submission_id in (tmp_path / "told.json").read_text()
    assert raydp_wrap.run("exit 3", shell=True).exit_code == 3
    with pytest.raises(UsageError, match="one string"):
        raydp_wrap.run("exit 3")


@pytest.mark.requirement("jobs-4.2-submit")
def test_the_package_s_face_is_loaded_when_it_is_asked_for() -> None:
    program = (
        "import sys, raydp_wrap; before = set(sys.modules);"
        "assert not [m for m in before if m.startswith('raydp_wrap.')], before;"
        "raydp_wrap.Client, raydp_wrap.Job, raydp_wrap.submit, raydp_wrap.run;"
        "assert not {'asyncio', 'apsw', 'pluggy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, env=environment(), timeout=60)


@pytest.mark.requirement("jobs-4.2-submit", "jobs-4.2-wait", "jobs-4.2-logs", "jobs-4.2-run")
@pytest.mark.parametrize("module", [client, job, shortcuts])
def test_the_examples_in_the_docstrings(module: object) -> None:
    names = {"Client": raydp_wrap.Client, "submit": raydp_wrap.submit, "run": raydp_wrap.run}
    flags = doctest.IGNORE_EXCEPTION_DETAIL | doctest.ELLIPSIS
    failed, tried = doctest.testmod(module, extraglobs=names, optionflags=flags)  # type: ignore[arg-type]
    assert (failed, tried > 0) == (0, True)


@pytest.mark.requirement("jobs-4.2-submit", "jobs-4.2-events")
def test_the_examples_in_the_guide() -> None:
    failed, tried = doctest.testfile(str(ROOT / "docs/python.md"), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert (failed, tried > 5) == (0, True)
