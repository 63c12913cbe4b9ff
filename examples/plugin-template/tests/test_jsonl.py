"""The sink does what every sink has to do, and what is its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from raydp_wrap.backend import Verdict
from raydp_wrap.errors import UsageError
from raydp_wrap.testing import SinkContract, a_report

from raydp_wrap_example.jsonl import Jsonl, lines


class TestJsonl(SinkContract):
    factory = Jsonl

    @pytest.fixture
    def sink_text(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
        monkeypatch.chdir(tmp_path)
        self.path = tmp_path / "below" / "outcomes.jsonl"
        self.path.parent.mkdir()
        return "below/outcomes.jsonl"

    def received(self) -> list[tuple[str | None, dict[str, Any]]]:
        if not self.path.exists():
            return []
        return [(found.pop("key"), found) for found in lines(str(self.path))]

    def break_receiver(self) -> None:
        self.path.parent.rename(self.path.parent.with_name("gone"))

    def heal_receiver(self) -> None:
        self.path.parent.with_name("gone").rename(self.path.parent)


def test_a_line_that_was_never_finished_spoils_nothing(tmp_path: Path) -> None:
    path = tmp_path / "outcomes.jsonl"
    path.write_text('{"key": "s-1/1", "sta')
    assert Jsonl(str(path)).deliver(a_report("s-1/1")).verdict is Verdict.ACCEPTED
    assert [found["key"] for found in lines(str(path))] == ["s-1/1"]


def test_what_can_t_work_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs a file"):
        Jsonl("")
    with pytest.raises(UsageError, match="can't be written"):
        Jsonl(str(tmp_path)).check()
    with pytest.raises(UsageError, match="can't be written"):
        Jsonl(str(tmp_path / "nowhere" / "file")).check()
