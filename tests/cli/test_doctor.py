"""``raydp-wrap doctor``: one line for each thing, and what to do where it is not well."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from programs.installed import hook, plugin

import raydp_wrap
from raydp_wrap import doctor
from raydp_wrap.model import Outcome, Reason, Submission, TerminalState, Usage
from raydp_wrap.plugins import calls
from raydp_wrap.store import Store

if TYPE_CHECKING:
    from raydp_wrap.backend import Check

ROOT = Path(raydp_wrap.__file__).parent.parent


@pytest.fixture(autouse=True)
def plugins_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "site").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setenv("RAYDP_WRAP_PLUGINS", "-spark")
    monkeypatch.setattr(calls, "_registry", None)


def named(name: str, *, limit: float = 60) -> list[Check]:
    return [one for one in doctor.checks(limit=limit) if one.name == name]


def test_all_is_well(tmp_path: Path) -> None:
    checks = doctor.checks()
    assert [(one.name, one.ok) for one in checks if one.name != "kernel"] == [
        ("home", True),
        ("sqlite", True),
        ("reports", True),
        ("plugins", True),
    ]
    assert str(tmp_path / "state") in checks[0].text
    assert not list((tmp_path / "state").iterdir())  # nothing is left behind, no store made
    assert named("kernel")[0].ok


def test_as_a_command() -> None:
    command = [sys.executable, "-m", "raydp_wrap", "doctor"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line[:16] for line in done.stdout.splitlines()][:2] == ["ok      home    ", "ok      sqlite  "]
    env = {**os.environ, "RAYDP_WRAP_HOME": "/dev/null"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=env)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("NOT OK  home     /dev/null is not a directory")
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False, timeout=60, env=env)
    assert done.returncode == 1
    assert json.loads(done.stdout)[0] == {
        "name": "home",
        "ok": False,
        "text": "/dev/null is not a directory (a link doesn't count): use another.",
    }


def test_a_home_on_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raydp_wrap.store.network_file_system", lambda _: "nfs4")
    (check,) = named("home")
    assert not check.ok
    assert "network file system (nfs4): set RAYDP_WRAP_HOME" in check.text


@pytest.mark.parametrize(
    ("version", "sound"), [("3.51.3", True), ("3.50.7", True), ("3.51.2", False), ("3.40.1", False)]
)
def test_which_sqlite_is_sound(version: str, *, sound: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apsw.sqlite_lib_version", lambda: version)
    (check,) = named("sqlite")
    assert check.ok is sound
    assert version in check.text
    assert sound or "install apsw" in check.text


def test_a_guard_that_cannot_be_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raydp_wrap.process.guard.GUARD_PATH", str(tmp_path / "none"))
    (check,) = named("kernel")
    assert not check.ok


@pytest.mark.requirement("plugin-3.3")
def test_plugins_that_are_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin(tmp_path / "site", "broken-doctor", "raise ValueError('at import')")
    (check,) = named("plugins")
    assert (check.ok, check.text) == (False, "broken-doctor is skipped: ValueError('at import')")
    monkeypatch.setattr(calls, "_registry", None)
    monkeypatch.setenv("RAYDP_WRAP_PLUGINS", "a,-b")
    assert [one.ok for one in named("plugins")] == [False, False]


@pytest.mark.requirement("hook-checks")
def test_the_plugins_checks_are_told(tmp_path: Path) -> None:
    source = hook("checks()", "yield Check('cluster', False, 'is down: start it')")
    plugin(tmp_path / "site", "checks-doctor", f"from raydp_wrap.backend import Check\n{source}")
    (check,) = named("cluster")
    assert (check.ok, check.text) == (False, "is down: start it")


def test_a_check_that_raises_or_hangs_is_not_well(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr("raydp_wrap.store.network_file_system", lambda _: release.wait(60))
    monkeypatch.setattr("apsw.sqlite_lib_version", lambda: 1 // 0)
    try:
        found = {one.name: one for one in doctor.checks(limit=1)}
    finally:
        release.set()
    assert (found["home"].ok, found["home"].text) == (False, "it takes more than 1 s")
    assert (found["sqlite"].ok, found["sqlite"].text[:17]) == (False, "ZeroDivisionError")
    assert found["plugins"].ok


def outcome(submission: Submission) -> Outcome:
    return Outcome(
        submission.submission_id,
        submission.name,
        1,
        TerminalState.FAILED,
        1,
        None,
        Reason.APP_FAILED,
        "",
        (),
        None,
        None,
        Usage(),
    )


def test_what_is_left_to_do(tmp_path: Path) -> None:
    home = tmp_path / "state"
    home.mkdir(mode=0o700)
    long_ago = time.time() - 3600
    told = Submission("told", "x", long_ago, sinks=("webhook:http://secret@host/secret",))
    running = Submission("running", "x", long_ago)
    with Store(home) as store:
        for one in (told, running):
            store.submit(one)
        assert named("reports")[0].text == "all are delivered; 2 submissions are under way"
        store.finish(outcome(told))
    (check,) = named("reports")
    assert not check.ok
    assert "1 not delivered, the last to webhook:http://host" in check.text
    assert "raydp-wrap deliver sends them" in check.text
    assert "secret" not in check.text
    abandoned = home / "run" / "running"
    abandoned.mkdir(parents=True, mode=0o700)
    (abandoned / "lock").touch(mode=0o600)
    assert [one.ok for one in named("reports")] == [False, False]
    assert "1 submissions were left undecided" in named("reports")[1].text
