"""The report file: whole or untouched."""

from __future__ import annotations

import errno
import json
import os
from typing import TYPE_CHECKING

import pytest

from raydp_wrap.errors import UsageError
from raydp_wrap.model import Submission
from raydp_wrap.outcome import never_started, to_dict
from raydp_wrap.report import Report

if TYPE_CHECKING:
    from pathlib import Path

OUTCOME = never_started("x: command not found", Submission("s", "n\u00e4me \udcff", 1.0), status=127, at=1.0)

pytestmark = pytest.mark.requirement("run-3.3")


def test_it_holds_the_outcome_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    Report(tmp_path / "r", "s").write(OUTCOME)
    assert json.loads((tmp_path / "r").read_bytes()) == to_dict(OUTCOME)
    assert os.listdir(tmp_path) == ["r"]


@pytest.mark.parametrize("call", ["fsync", "rename", "open"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_a_failure_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int) -> None:
    (tmp_path / "r").write_text("old")
    report = Report(tmp_path / "r", "s")

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(f"raydp_wrap.report.os.{call}", fail)
        with pytest.raises(OSError, match=os.strerror(number)):
            report.write(OUTCOME)
    assert (tmp_path / "r").read_text() == "old"
    assert os.listdir(tmp_path) == ["r"]


def test_it_is_refused_before_anything_is_started(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for name in (".", "fifo", "missing/r", "fifo/r", "nul\0"):
        with pytest.raises(UsageError, match="report"):
            Report(os.path.join(tmp_path, name), "s")
    assert os.listdir(tmp_path) == ["fifo"]


def test_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("mine")
    (tmp_path / ".raydp-wrap-s.tmp").symlink_to("target")
    with pytest.raises(UsageError):
        Report(tmp_path / "r", "s")
    assert (tmp_path / "target").read_text() == "mine"


def test_it_knows_its_own(tmp_path: Path) -> None:
    report = Report(tmp_path / "r", "s")
    assert not report.tells_of("s")
    for text in ("", "null", "[1]", "{", '{"submission_id": "t"}', "\udcff"):
        (tmp_path / "r").write_bytes(text.encode("utf-8", "surrogateescape"))
        assert not report.tells_of("s")
    report.write(OUTCOME)
    assert report.tells_of("s")
    assert not report.tells_of("t")
