"""The delivery: what the guard starts when its owner died."""

from __future__ import annotations

import io
import json
import sys
from typing import TYPE_CHECKING

import pytest
from programs.installed import hook, own_site, plugin

from raydp_wrap import deliver
from raydp_wrap.model import Submission
from raydp_wrap.outcome import never_started
from raydp_wrap.runs import Run
from raydp_wrap.store import Store
from raydp_wrap.watching import keep

if TYPE_CHECKING:
    from collections.abc import Iterator
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
def run(tmp_path: Path) -> Iterator[Run]:
    (tmp_path / "home").mkdir(mode=0o700)
    with Run.create(tmp_path / "home", "job-1") as run:
        yield run


def given(run: Run, monkeypatch: pytest.MonkeyPatch, report: Path | None, record: bytes | None = None) -> None:
    with Store(run.directory.parent.parent) as store:
        store.submit(Submission("job-1", "nightly", 1.0, (f"file:{report}",) if report else ()))
    monkeypatch.setattr(sys, "stdin", Stdin(json.dumps(RECORD).encode() if record is None else record))
    monkeypatch.setattr(deliver, "_PATIENCE", 0.3)


def test_it_reports_from_the_record_and_removes_the_run(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    given(run, monkeypatch, tmp_path / "report")
    deliver.main(str(run.directory))
    told = json.loads((tmp_path / "report").read_text())
    assert (told["submission_id"], told["name"]) == ("job-1", "nightly")
    # The driver exited with 0 when it was asked to end: no success for all that.
    assert (told["state"], told["reason"], told["exit_code"]) == ("KILLED", "OwnerDied", 143)
    assert not run.directory.exists()


@pytest.mark.requirement("hook-stop-remote", "watch-saved")
@pytest.mark.parametrize(
    ("changes", "state", "asked"),
    [
        ({}, "KILLED", ["stop_remote {'driver': 7}", "evidence {'driver': 7}"]),
        ({"cause": 0}, "FINISHED", ["evidence {'driver': 7}"]),
        ({"cause": 0, "code": 3}, "FAILED", ["evidence {'driver': 7}"]),
    ],
)
def test_what_runs_elsewhere_is_ended_before_evidence_is_asked_for(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, changes: dict[str, int], state: str, asked: list[str]
) -> None:
    log = tmp_path / "log"
    with own_site(tmp_path, monkeypatch) as site:
        for name in ("stop_remote", "evidence"):
            body = f"with open({str(log)!r}, 'a') as file:\n    print('{name}', saved, file=file)"
            plugin(site, name, hook(f"{name}(saved)", body))
        saved = {"driver": 7}
        assert keep(run.directory, {"stop_remote": saved, "evidence": saved})
        given(run, monkeypatch, tmp_path / "report", json.dumps({**RECORD, **changes}).encode())
        deliver.main(str(run.directory))
    assert json.loads((tmp_path / "report").read_text())["state"] == state
    assert log.read_text().splitlines() == asked
    assert not run.directory.exists()


def test_without_a_sink_it_removes_the_run(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    given(run, monkeypatch, None)
    deliver.main(str(run.directory))
    assert not run.directory.exists()


def test_what_is_decided_already_is_told_as_it_is(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    given(run, monkeypatch, tmp_path / "report")
    with Store(run.directory.parent.parent) as store:
        submission = store.submission("job-1")
        assert submission is not None
        store.finish(never_started("no", submission, at=1.0))
    deliver.main(str(run.directory))
    assert json.loads((tmp_path / "report").read_text())["reason"] == "SubmissionFailed"


def test_a_report_that_cannot_be_written_waits_in_the_outbox(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given(run, monkeypatch, tmp_path / "gone" / "report")
    deliver.main(str(run.directory))
    assert "raydp-wrap deliver sends it later" in capsys.readouterr().err
    with Store(run.directory.parent.parent) as store:
        assert len(store.undelivered()) == 1
    assert not run.directory.exists()


@pytest.mark.parametrize("record", [b"", b"{}", b"null", b'{"schema": 99}', json.dumps(RECORD).encode()[:-9]])
def test_a_damaged_record_keeps_the_run(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, record: bytes
) -> None:
    given(run, monkeypatch, tmp_path / "report", record)
    with pytest.raises(SystemExit, match="the guard's record"):
        deliver.main(str(run.directory))
    assert run.directory.exists()
    assert not (tmp_path / "report").exists()


@pytest.mark.requirement("fault-21")
def test_a_submission_that_the_store_does_not_know_keeps_the_run(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Stdin(json.dumps(RECORD).encode()))
    with pytest.raises(SystemExit, match="job-1"):
        deliver.main(str(run.directory))
    assert run.directory.exists()
