"""Fixtures for plugin authors: ``pytest_plugins = ["raydp_wrap.testing.fixtures"]`` in a conftest.py."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from raydp_wrap.testing.faulty import FaultySink
from raydp_wrap.testing.leftovers import leftovers
from raydp_wrap.testing.receiver import HttpReceiver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["faulty_sink", "http_receiver", "no_leftover_processes", "raydp_wrap_home"]


@pytest.fixture
def raydp_wrap_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory of this test's own, and none of the user's settings: RAYDP_WRAP_HOME is the only variable."""
    for name in [name for name in os.environ if name.startswith("RAYDP_WRAP_")]:
        monkeypatch.delenv(name)
    home = tmp_path / "raydp-wrap-home"
    monkeypatch.setenv("RAYDP_WRAP_HOME", str(home))
    return home


@pytest.fixture
def faulty_sink(tmp_path: Path) -> Callable[..., FaultySink]:
    """What makes a :class:`FaultySink` of the steps it is called with: ``faulty_sink("hang", "accept")``."""
    made = 0

    def make(*steps: str) -> FaultySink:
        nonlocal made
        made += 1
        return FaultySink(f"{','.join(steps)}@{tmp_path / f'faulty-{made}'}")

    return make


@pytest.fixture
def http_receiver() -> Iterator[HttpReceiver]:
    """A web server that checks nothing and keeps what it was sent."""
    with HttpReceiver() as receiver:
        yield receiver


@pytest.fixture
def no_leftover_processes() -> Iterator[None]:
    """Fail a test that leaves a process behind, after ending it. For ``pytestmark = pytest.mark.usefixtures(…)``."""
    with leftovers() as left:
        yield
    if left:
        pytest.fail(f"{len(left)} processes were left behind: {', '.join(left)}")
