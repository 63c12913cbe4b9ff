"""What a client is told of a job that another process has committed survives a power cut, whatever it asked for."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from raydp_wrap.job import StopWish
from raydp_wrap.model import Submission
from raydp_wrap.moment import Moment
from raydp_wrap.request import Context, Request
from raydp_wrap.store import Store
from raydp_wrap.supervisor.verdict import killed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


pytestmark = pytest.mark.requirement("fault-13", "jobs-1.1-terminal-once")
REQUEST = Request(("true",))


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with each sync that is not SQLite's own."""
    found: list[int] = []
    fdatasync = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda fd: (found.append(fd), fdatasync(fd)))
    return found


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """With a job that has ended, and one that is suspended; another process has the store open."""
    place = tmp_path / "home"
    place.mkdir(0o700)
    now = Moment.now()
    with Store(place) as other:
        for name in ("ended", "paused"):
            job, _ = other.jobs.submit(Submission(name, name, now.wall), REQUEST, Context(), now)
        other.jobs.suspend("paused", "", now)
        wish = StopWish(now.wall, 1, 1)
        other.jobs.stop("ended", wish, killed(replace(job, submission=Submission("ended", "", 0.0)), wish, now), now)
        yield place


def test_a_look_after_a_write_that_changed_nothing(home: Path, synced: list[int]) -> None:
    """Its commit has synced nothing: the end that is seen then is synced by who sees it, once."""
    with Store(home) as store:
        store.jobs.suspend("paused", "", Moment.now())
        assert synced == []
        for _ in range(2):
            found = store.jobs.job("ended")
            assert found is not None
            assert found.phase.terminal
            assert len(synced) == 1


def test_a_look_after_a_write_of_our_own(home: Path, synced: list[int]) -> None:
    with Store(home) as store:
        store.jobs.resume("paused", "", Moment.now())
        assert store.jobs.job("ended") is not None
        assert synced == [], "the log was synced with our commit"


def test_the_same_request_again(home: Path, synced: list[int]) -> None:
    with Store(home) as store:
        now = Moment.now()
        again, new = store.jobs.submit(Submission("ended", "ended", now.wall), REQUEST, Context(), now)
        assert (again.phase.terminal, new, len(synced)) == (True, False, 1)
