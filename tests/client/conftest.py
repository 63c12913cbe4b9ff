"""A home with a background supervisor for all tests of a file; who asks for ``home`` has one of its own, without."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from supervised import retired

import raydp_wrap
from raydp_wrap.supervisor.background import ensure

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module", autouse=True)
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("home")
    place.chmod(0o700)
    with pytest.MonkeyPatch.context() as patch, retired(place):
        patch.setenv("RAYDP_WRAP_HOME", str(place))
        patch.setenv("RAYDP_WRAP_LINGER", "1h")
        ensure(place).close()
        yield place


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    place = tmp_path / "home"
    place.mkdir(0o700)
    monkeypatch.setenv("RAYDP_WRAP_HOME", str(place))
    with retired(place):
        yield place


@pytest.fixture
def client(request: pytest.FixtureRequest, shared_home: Path) -> Iterator[raydp_wrap.Client]:
    place = request.getfixturevalue("home") if "home" in request.fixturenames else shared_home
    with raydp_wrap.Client(place) as one:
        yield one
