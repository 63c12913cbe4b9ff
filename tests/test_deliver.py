"""The delivery: what the guard starts when its owner died."""

from __future__ import annotations

import io
import json
import sys
from typing import TYPE_CHECKING

import pytest

from raydp_wrap import deliver
from raydp_wrap.errors import RecordError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.requirement("guard-2.2")

USAGE = dict.fromkeys(
    ("user_us", "system_us", "max_rss_kib", "minor_faults", "major_faults", "blocks_in", "blocks_out",
     "switches_voluntary", "switches_forced"),
    0,
)  # fmt: skip
RECORD = {
    "schema": 1, "id": "job-1", "guard_pid": 2, "driver_pid": 3, "driver_waited": 1, "code": 0, "signal": 0,
    "core_dumped": 0, "rung": 1, "cause": 3, "stop_signal": 15, "stop_pid": 1, "stop_uid": 0, "stop_wall_ns": 1,
    "stop_label": "", "started_wall_ns": 1_000_000_000, "ended_wall_ns": 2_000_000_000, "duration_ns": 1_000_000_000,
    "rusage": USAGE, "tree_rusage": USAGE, "tree_empty": 1, "swept_term": 0, "swept_kill": 0, "cgroup": 0,
    "oom_kills": -1, "survivors": 0, "survivor_pids": [], "guard_errno": 0,
}  # fmt: skip


class Stdin:
    def __init__(self, data: bytes) -> None:
        self.buffer = io.BytesIO(data)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    found = tmp_path / "run"
    found.mkdir()
    return found


def given(directory: Path, monkeypatch: pytest.MonkeyPatch, report: Path | None, record: bytes | None = None) -> None:
    job = {"submission_id": "job-1", "name": "nightly", "report": str(report) if report else None}
    (directory / "job.json").write_text(json.dumps(job))
    monkeypatch.setattr(sys, "stdin", Stdin(json.dumps(RECORD).encode() if record is None else record))


def test_it_reports_from_the_record_and_removes_the_run(
    tmp_path: Path, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given(directory, monkeypatch, tmp_path / "report")
    deliver.main(str(directory))
    told = json.loads((tmp_path / "report").read_text())
    assert (told["submission_id"], told["name"]) == ("job-1", "nightly")
    # The driver exited with 0 when it was asked to end: no success for all that.
    assert (told["state"], told["reason"], told["exit_code"]) == ("KILLED", "OwnerDied", 143)
    assert not directory.exists()


def test_without_a_report_it_removes_the_run(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given(directory, monkeypatch, None)
    deliver.main(str(directory))
    assert not directory.exists()


def test_what_is_told_already_is_left(tmp_path: Path, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = '{"submission_id": "job-1", "state": "FAILED"}'
    (tmp_path / "report").write_text(text)
    given(directory, monkeypatch, tmp_path / "report")
    deliver.main(str(directory))
    assert (tmp_path / "report").read_text() == text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report"]


def test_the_report_of_another_run_is_replaced(
    tmp_path: Path, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "report").write_text('{"submission_id": "job-0"}')
    given(directory, monkeypatch, tmp_path / "report")
    deliver.main(str(directory))
    assert json.loads((tmp_path / "report").read_text())["state"] == "KILLED"


def test_a_report_that_cannot_be_written_keeps_the_run(
    tmp_path: Path, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given(directory, monkeypatch, tmp_path / "gone" / "report")
    with pytest.raises(SystemExit, match="can't be written"):
        deliver.main(str(directory))
    assert (directory / "job.json").exists()


@pytest.mark.parametrize("record", [b"", b"{}", b"null", b'{"schema": 99}', json.dumps(RECORD).encode()[:-9]])
def test_a_damaged_record_keeps_the_run(
    tmp_path: Path, directory: Path, monkeypatch: pytest.MonkeyPatch, record: bytes
) -> None:
    given(directory, monkeypatch, tmp_path / "report", record)
    with pytest.raises(RecordError):
        deliver.main(str(directory))
    assert (directory / "job.json").exists()
    assert not (tmp_path / "report").exists()
