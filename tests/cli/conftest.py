"""Each test has a state directory of its own, and leaves no run behind."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from programs.wrapping import Wrap

import raydp_wrap

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def wrap(tmp_path: Path) -> Iterator[Wrap]:
    wrap = Wrap(tmp_path)
    yield wrap
    wrap.close()


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYDP_WRAP_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("PYTHONPATH", str(Path(raydp_wrap.__file__).parent.parent))
    monkeypatch.delenv("PYTHONHOME", raising=False)


@pytest.fixture(autouse=True)
def usual_signals() -> None:
    """A test runner in the background of a script ignores these, and so would all it starts."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
