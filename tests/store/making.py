"""What the store's tests put into it."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from raydp_wrap.model import Evidence, Outcome, Rank, Reason, Submission, TerminalState, Usage

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAMS = Path(__file__).parent / "programs"
ENV = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
SINKS = ("file:/var/tmp/out.json", "webhook:https://example.org/?token=secret")


def submission(submission_id: str = "job", sinks: tuple[str, ...] = SINKS, **more: object) -> Submission:
    return Submission(submission_id, "a name", 1000.5, sinks, {"team": "blue"}, **more)  # type: ignore[arg-type]


def ended(
    submission_id: str = "job",
    state: TerminalState = TerminalState.FAILED,
    diagnostics: str = "it failed",
    app_id: str | None = None,
) -> Outcome:
    return Outcome(
        submission_id=submission_id,
        name="a name",
        attempt=1,
        state=state,
        exit_code=1 if state is TerminalState.FAILED else 0,
        signal=None,
        reason=Reason.APP_FAILED if state is TerminalState.FAILED else None,
        diagnostics=diagnostics,
        evidence=(Evidence("wait status", "exited with 1", Rank.WAIT_STATUS, 1.25, state, 1),),
        started_at=1.0,
        ended_at=2.5,
        rusage=Usage(user_seconds=0.5, max_rss=4096),
        app_id=app_id,
        tags={"team": "blue"},
    )


@contextlib.contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    path = tmp_path / "home"
    path.mkdir(0o700)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.endswith("-shm")}
