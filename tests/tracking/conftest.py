from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RAYDP_WRAP_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def report(tmp_path: Path) -> Path:
    return tmp_path / "report"
