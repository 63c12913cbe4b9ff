"""A home of the test's own, whose background supervisor is gone when the test has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from supervised import retired

import raydp_wrap

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    place = tmp_path / "home"
    place.mkdir(0o700)
    monkeypatch.setenv("RAYDP_WRAP_HOME", str(place))
    monkeypatch.setenv("RAYDP_WRAP_LINGER", "50ms")
    with retired(place):
        yield place


@pytest.fixture
def client(home: Path) -> Iterator[raydp_wrap.Client]:
    with raydp_wrap.Client(home) as one:
        yield one
