"""Plugins are found by entry point, and a broken one is one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import raydp_wrap
from raydp_wrap import plugins
from raydp_wrap.errors import PluginError, UsageError
from raydp_wrap.hookspecs import hookimpl
from raydp_wrap.model import Launch

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(raydp_wrap.__file__).parent.parent

HOOK = """
from raydp_wrap.hookspecs import hookimpl
from raydp_wrap.model import Launch
@hookimpl(tryfirst=True)
def raydp_wrap_build_launch(tool, argv, env):
    {body}
"""


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
    assert (done.returncode, done.stdout, done.stderr) == (7, "--class x --help\n", "")


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
    assert done.stderr.count("\n") == 1
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
def test_one_that_fails_in_its_hook(site: Path, submit: Submit, body: str, word: str) -> None:
    plugin(site, "zzz_plugin", HOOK.format(body=body))
    assert word in refused(submit("x"))


def test_what_it_says_of_the_request_is_passed_on(site: Path, submit: Submit) -> None:
    body = "from raydp_wrap.errors import UsageError; raise UsageError('no application: name one.')"
    plugin(site, "zzz_plugin", HOOK.format(body=body))
    assert refused(submit()) == "raydp-wrap: no application: name one.\n"


def without_spark() -> bool:
    return not list(entry_points(group="raydp_wrap"))


def test_nobody_knows_the_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **_: ())
    with pytest.raises(PluginError, match="pip install"):
        plugins.build_launch("spark-submit", [], {})


class Entry:
    """An entry point as importlib.metadata has them."""

    def __init__(self, name: str, load: Callable[[], object]) -> None:
        self.name = name
        self.load = load


class Answer:
    """A plugin that answers with WHAT it was given, or raises it."""

    def __init__(self, what: object) -> None:
        self.what = what

    @hookimpl
    def raydp_wrap_build_launch(self) -> object:
        if isinstance(self.what, BaseException):
            raise self.what
        return self.what


def test_the_first_that_answers_counts(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    launch = Launch(("x",))

    def broken() -> object:
        raise OSError("gone")

    entries = [Entry("one", lambda: Answer(None)), Entry("two", lambda: Answer(launch)), Entry("three", broken)]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **_: entries)
    assert plugins.build_launch("tool", ["a"], {}) is launch
    assert capsys.readouterr().err.count("\n") == 1


def test_a_wish_for_another_request_is_no_failure_of_the_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [Entry("one", lambda: Answer(UsageError("do it so")))]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **_: entries)
    with pytest.raises(UsageError, match="do it so"):
        plugins.build_launch("tool", [], {})


def test_load_names_what_it_skips(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    twice = [Entry("one", lambda: Answer(None)), Entry("one", lambda: Answer(None))]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **_: twice)
    assert plugins.load().has_plugin("one")
    assert "'one' is skipped" in capsys.readouterr().err
