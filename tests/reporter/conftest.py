"""A store, and a sink that does as its text says and keeps what it applies, by key, in a folder."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pytest

from raydp_wrap.backend import Answer, Sink, Verdict
from raydp_wrap.model import Evidence, Outcome, Rank, Submission, TerminalState
from raydp_wrap.outcome import decide
from raydp_wrap.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from raydp_wrap.model import Report


class Scripted(Sink):
    """``FOLDER?WORD,WORD,…``: try number N does the Nth word (the last one again and again)."""

    needs_app_id: ClassVar[bool] = False

    def __init__(self, text: str) -> None:
        folder, _, script = text.partition("?")
        self.folder, self.script = Path(folder), script.split(",")

    def deliver(self, report: Report) -> Answer:
        with open(self.folder / f"{report.key}.log", "a", encoding="utf-8") as log:
            log.write(f"{report.tries}\n")
        word, _, number = self.script[min(report.tries, len(self.script)) - 1].partition("=")
        if word == "raise":
            raise RuntimeError("token=abc")
        if word == "hang":
            time.sleep(1000)
        if word == "slow":
            time.sleep(0.5)  # a sink that takes its time
        if word == "later":
            return Answer(Verdict.RETRY_AFTER, "later", float(number or 0))
        if word == "no":
            return Answer(Verdict.REJECTED, "no")
        try:
            os.close(os.open(self.folder / f"{report.key}.applied", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return Answer(Verdict.DUPLICATE)
        if word == "die":
            os._exit(1)
        return Answer(Verdict.ACCEPTED)


def ended(submission: Submission, code: int = 0) -> Outcome:
    state = TerminalState.FAILED if code else TerminalState.FINISHED
    return decide([Evidence("wait status", f"exited with {code}", Rank.WAIT_STATUS, 2.0, state, code)], submission)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir(mode=0o700)
    return tmp_path / "home"


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    with Store(home) as store:
        yield store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "told").mkdir()
    return tmp_path / "told"
