"""Where state lives, and what is refused as a place for it."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from raydp_wrap.errors import UsageError
from raydp_wrap.home import home

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.requirement("run-3.4")


@pytest.fixture(autouse=True)
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAYDP_WRAP_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir(mode=0o700)
    monkeypatch.chdir(tmp_path)


def test_the_users_wish_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYDP_WRAP_HOME", str(tmp_path / "wish"))
    assert home() == tmp_path / "wish"
    monkeypatch.setenv("RAYDP_WRAP_HOME", "relative")
    assert home() == tmp_path / "relative"


def test_then_xdg_then_the_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert home() == tmp_path / "user" / ".local" / "state" / "raydp-wrap"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    assert home() == tmp_path / "xdg" / "raydp-wrap"
    monkeypatch.setenv("RAYDP_WRAP_HOME", "")
    assert home() == tmp_path / "xdg" / "raydp-wrap"


@pytest.mark.parametrize("umask", [0, 0o002, 0o022, 0o077])
def test_all_that_is_made_is_private(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        found = home()
    finally:
        os.umask(before)
    while found != tmp_path:
        assert stat.S_IMODE(found.stat().st_mode) == 0o700
        found = found.parent


@pytest.mark.parametrize("no_home", ["~/x", "relative/x"])
def test_a_home_that_nobody_knows_is_not_made_below_where_we_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_home: str
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", no_home)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # a uid that no passwd knows
    assert home() == tmp_path / "tmp" / f"raydp-wrap-{os.geteuid()}"
    assert sorted(os.listdir(tmp_path)) == ["tmp"]


def test_an_unusable_home_falls_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "user").touch()
    assert home() == tmp_path / "tmp" / f"raydp-wrap-{os.geteuid()}"
    (tmp_path / "tmp" / f"raydp-wrap-{os.geteuid()}").chmod(0o755)  # as another could have made it
    with pytest.raises(UsageError, match="RAYDP_WRAP_HOME"):
        home()
    monkeypatch.setattr("tempfile.gettempdir", lambda: (_ for _ in ()).throw(FileNotFoundError(2, "none")))
    with pytest.raises(UsageError, match="RAYDP_WRAP_HOME"):
        home()


@pytest.mark.parametrize("where", ["wish", "above a relative wish"])
def test_a_wish_that_is_not_utf8_is_refused_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    odd = tmp_path / "\udcff"
    if where == "wish":
        monkeypatch.setenv("RAYDP_WRAP_HOME", str(odd))
    else:
        odd.mkdir()
        monkeypatch.chdir(odd)
        monkeypatch.setenv("RAYDP_WRAP_HOME", "relative")
    with pytest.raises(UsageError, match=r"RAYDP_WRAP_HOME=.* not UTF-8.*: name a directory"):
        home()
    assert not (odd / "relative").exists()
    assert odd.exists() == (where != "wish")


def test_a_home_that_is_not_utf8_falls_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "\udcff"))
    assert home() == tmp_path / "tmp" / f"raydp-wrap-{os.geteuid()}"
    assert sorted(os.listdir(tmp_path)) == ["tmp"]
