"""Plugins are found by entry point, and a broken one is one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import raydp_wrap

ROOT = Path(raydp_wrap.__file__).parent.parent

HOOK = """
from raydp_wrap.hookspecs import hookimpl
from raydp_wrap.model import Launch
@hookimpl(tryfirst=True)
def raydp_wrap_build_launch(tool, argv, env):
    {body}
"""


DIAGNOSIS = "raydp-wrap: FAILED (AppFailed): the driver exited with 7\n"


def plugin(site: Path, name: str, source: str) -> None:
    """Install a distribution with one entry point into the directory SITE."""
    info = site / f"{name}-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[raydp_wrap]\n{name} = {name}\n")
    (site / f"{name}.py").write_text(source)


Submit = "Callable[..., subprocess.CompletedProcess[str]]"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return tmp_path / "site"


@pytest.fixture
def submit(tmp_path: Path, site: Path) -> Submit:
    def submit(*arguments: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "PYTHONPATH": f"{site}:{ROOT}", "RAYDP_WRAP_HOME": str(tmp_path / "state")}
        command = [sys.executable, "-m", "raydp_wrap", "spark-submit", *arguments]
        return subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=60, env=env, start_new_session=True, cwd="/"
        )

    return submit


def refused(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 125, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("raydp-wrap: ")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


# The tests may run where raydp-wrap-spark is installed: these plugins come before it.
def test_a_plugin_builds_what_is_run(site: Path, submit: Submit) -> None:
    plugin(site, "aaa_plugin", HOOK.format(body="return Launch(('sh', '-c', 'echo $0 $*; exit 7', *argv))"))
    done = submit("--class", "x", "--help")
    assert (done.returncode, done.stdout, done.stderr) == (7, "--class x --help\n", DIAGNOSIS)


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("raise RuntimeError('broken\\nat import')", "broken"),
        ("import sys; sys.exit(0)", "SystemExit"),
        ("import no_such_module_at_all", "no_such_module_at_all"),
        ("syntax error", "SyntaxError"),
        (
            "from raydp_wrap.hookspecs import hookimpl\n@hookimpl\ndef raydp_wrap_build_launch(nonsense): pass",
            "nonsense",
        ),
    ],
)
def test_one_that_cannot_be_loaded(site: Path, submit: Submit, source: str, word: str) -> None:
    plugin(site, "broken_plugin", source)
    if without_spark():
        said = refused(submit("x"))
        assert "broken_plugin" in said
        assert word in said
    plugin(site, "aaa_plugin", HOOK.format(body="return Launch(('sh', '-c', 'exit 7'))"))
    done = submit("x")
    assert done.returncode == 7
    assert done.stderr.endswith(f"\n{DIAGNOSIS}")
    assert done.stderr.count("\n") == 2
    assert "broken_plugin" in done.stderr


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ("raise RuntimeError('in the hook')", "in the hook"),
        ("import sys; sys.exit(0)", "SystemExit"),
        ("import sys; sys.exit()", "SystemExit"),
        ("return ['sh']", "not with a Launch"),
    ],
)
def test_one_that_fails_in_its_hook(
    site: Path, submit: Submit, monkeypatch: pytest.MonkeyPatch, body: str, word: str
) -> None:
    plugin(site, "zzz_plugin", HOOK.format(body=body))
    monkeypatch.setenv("RAYDP_WRAP_PLUGINS", "zzz_plugin")  # one that works, too, would answer
    assert word in refused(submit("x"))


def test_what_it_says_of_the_request_is_passed_on(site: Path, submit: Submit) -> None:
    body = "from raydp_wrap.errors import UsageError; raise UsageError('no application: name one.')"
    plugin(site, "zzz_plugin", HOOK.format(body=body))
    assert refused(submit()) == "raydp-wrap: no application: name one.\n"


def without_spark() -> bool:
    return not list(entry_points(group="raydp_wrap"))
