"""Submissions whose owner and guard are both gone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from programs.facts import environment
from programs.installed import hook, own_site, plugin
from test_deliver import RECORD

from raydp_wrap import plugins
from raydp_wrap.model import Reason, Submission, TerminalState
from raydp_wrap.outcome import never_started
from raydp_wrap.repair import repair
from raydp_wrap.reporter.kept import keep
from raydp_wrap.runs import Run
from raydp_wrap.store import Store
from raydp_wrap.watching import keep as keep_saved

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.requirement("store-2.5")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir(mode=0o700)
    return tmp_path / "home"


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    with Store(home) as store:
        yield store


def submitted(store: Store, home: Path, record: bytes | None = None) -> Run:
    """A submission of id "job-1", and its run, which nobody sees to any more."""
    run = Run.create(home, "job-1")
    store.submit(Submission("job-1", "n", 1.0))
    if record is not None:
        run.record.write_bytes(record)
    run.close()
    return run


def as_bytes(**changes: Any) -> bytes:
    return json.dumps({**RECORD, "cause": 0, "stop_signal": 0, **changes}).encode()


def told(store: Store, home: Path) -> list[str]:
    said: list[str] = []
    repair(store, home, said.append)
    return said


@pytest.mark.requirement("raydp-7")
def test_what_the_guard_recorded_is_what_happened(store: Store, home: Path) -> None:
    run = submitted(store, home, as_bytes(code=9))
    (outcome,) = repair(store, home, print)
    assert (outcome.state, outcome.exit_code, outcome.reason) == (TerminalState.FAILED, 9, Reason.APP_FAILED)
    assert store.outcome("job-1") == outcome
    assert not run.directory.exists()
    assert repair(store, home, print) == []


def test_without_a_record_the_job_is_lost(store: Store, home: Path) -> None:
    submitted(store, home)
    (outcome,) = repair(store, home, print)
    assert (outcome.state, outcome.reason, outcome.exit_code) == (TerminalState.FAILED, Reason.JOB_LOST, None)
    assert "both died" in outcome.diagnostics
    assert list(Run.all(home)) == []


@pytest.mark.requirement("fault-19")
@pytest.mark.parametrize("record", [b"", b"garbage", as_bytes()[:-9], b'{"schema": 99}'], ids=str)
def test_a_damaged_record_is_kept_and_decides_nothing(store: Store, home: Path, record: bytes) -> None:
    run = submitted(store, home, record)
    (outcome,) = repair(store, home, print)
    assert outcome.reason is Reason.JOB_LOST
    assert run.record.read_bytes() == record
    assert any(str(run.record) in sentence for sentence in told(store, home))


def test_a_record_of_somebody_else_decides_nothing(store: Store, home: Path) -> None:
    submitted(store, home, as_bytes(id="job-2"))
    (outcome,) = repair(store, home, print)
    assert outcome.reason is Reason.JOB_LOST


def test_a_directory_that_is_gone_is_said(store: Store, home: Path) -> None:
    submitted(store, home).remove()
    (outcome,) = repair(store, home, print)
    assert outcome.reason is Reason.JOB_LOST
    assert "its directory is gone" in outcome.diagnostics


@pytest.mark.requirement("fault-2")
def test_what_lives_of_it_is_ended(store: Store, home: Path) -> None:
    submitted(store, home)
    left = subprocess.Popen(["sleep", "1000"], env=environment(RAYDP_WRAP_ATTEMPT_ID="job-1"), start_new_session=True)
    (outcome,) = repair(store, home, print)
    assert left.wait(20) == -9
    assert "1 processes were swept" in outcome.diagnostics


def test_one_whose_owner_lives_is_left_alone(store: Store, home: Path) -> None:
    with Run.create(home, "job-1") as run:
        store.submit(Submission("job-1", "n", 1.0))
        assert repair(store, home, print) == []
        assert run.directory.exists()
    assert store.outcome("job-1") is None


def test_a_directory_that_was_not_yet_used_is_removed(store: Store, home: Path) -> None:
    Run.create(home, "job-1").close()
    (home / "run" / "job-2").mkdir()  # not even a lock
    assert told(store, home) == []
    assert list(Run.all(home)) == []


@pytest.mark.requirement("fault-21")
def test_a_record_that_no_store_knows_is_kept_and_told_of(store: Store, home: Path) -> None:
    run = Run.create(home, "job-1")
    run.record.write_bytes(as_bytes())
    run.close()
    (sentence,) = told(store, home)
    assert "job-1" in sentence
    assert run.record.exists()


def test_what_its_owner_had_no_time_to_remove_is_removed(store: Store, home: Path) -> None:
    run = submitted(store, home, as_bytes())
    repair(store, home, print)
    run = Run.create(home, "job-1")
    run.record.write_bytes(as_bytes())
    run.close()
    assert told(store, home) == []
    assert not run.directory.exists()


@pytest.mark.requirement("raydp-1")
def test_many_repairs_at_once_decide_once(store: Store, home: Path) -> None:
    run = submitted(store, home, as_bytes(code=9))
    script = (
        "import sys\nfrom pathlib import Path\n"
        "from raydp_wrap.repair import repair\nfrom raydp_wrap.store import Store\n"
        "home = Path(sys.argv[1])\nwith Store(home) as store:\n    print(len(repair(store, home, print)))"
    )
    several = [
        subprocess.Popen([sys.executable, "-c", script, str(home)], stdout=subprocess.PIPE, env=environment())
        for _ in range(6)
    ]
    outs = [one.communicate(timeout=60)[0] for one in several]
    assert max(outs) == b"1\n"
    assert {one.returncode for one in several} == {0}
    assert store.undecided() == []
    assert not os.path.exists(run.directory)


@pytest.mark.requirement("store-2.4", "outcome-1.1")
def test_an_outcome_that_its_owner_could_only_keep_goes_before_the_record(store: Store, home: Path) -> None:
    run = submitted(store, home, as_bytes(code=9))
    submission = store.submission("job-1")
    assert submission is not None
    told_then = never_started("no", submission, at=2.0, status=127)
    assert keep(run.directory, told_then)
    (outcome,) = repair(store, home, print)
    assert outcome == told_then
    assert store.outcome("job-1") == told_then
    assert not run.directory.exists()


def test_an_outcome_that_was_kept_stands_though_the_record_is_damaged(store: Store, home: Path) -> None:
    run = submitted(store, home, b"garbage")
    submission = store.submission("job-1")
    assert submission is not None
    told_then = never_started("no", submission, at=2.0, status=127)
    assert keep(run.directory, told_then)
    assert repair(store, home, print) == [told_then]
    assert run.record.read_bytes() == b"garbage"


@pytest.mark.parametrize("data", [b"", b"garbage", b"{}", b'{"submission_id": "job-1"}'])
def test_a_kept_outcome_that_is_none_decides_nothing(store: Store, home: Path, data: bytes) -> None:
    run = submitted(store, home, as_bytes(code=9))
    (run.directory / "outcome.json").write_bytes(data)
    (outcome,) = repair(store, home, print)
    assert outcome.exit_code == 9


def test_one_that_can_t_be_judged_keeps_no_other_waiting(
    store: Store, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted(store, home, as_bytes(code=9))
    run = Run.create(home, "job-2")
    store.submit(Submission("job-2", "n", 2.0))
    run.close()

    def nonsense(*_: object, **__: object) -> None:
        raise OverflowError("a plugin's")

    monkeypatch.setattr(plugins, "evidence", nonsense)
    said: list[str] = []
    (outcome,) = repair(store, home, said.append)
    assert outcome.submission_id == "job-2"
    assert said == ['job-1 could not be decided: OverflowError("a plugin\'s")']


REMOTE = hook(
    "stop_remote(submission, record, saved)",
    "import threading\nthreading.asked.append(('stop', submission.submission_id, record and record.cause.name, saved))",
) + hook("evidence(record, saved)", "import threading\nthreading.asked.append(('evidence', record.cause.name, saved))")


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[object, ...]]]:
    """What a plugin called "remote" is asked, in order."""
    asked: list[tuple[object, ...]] = []
    monkeypatch.setattr(threading, "asked", asked, raising=False)
    with own_site(tmp_path, monkeypatch) as site:
        plugin(site, "remote", REMOTE)
        yield asked


@pytest.mark.requirement("hook-stop-remote", "watch-saved")
def test_what_a_lost_job_left_elsewhere_is_ended(store: Store, home: Path, asked: list[tuple[object, ...]]) -> None:
    run = submitted(store, home)
    assert keep_saved(run.directory, {"remote": {"driver": 7}, "other": {}})
    for _ in range(2):
        repair(store, home, print)
    assert asked == [("stop", "job-1", None, {"driver": 7})]
    assert list(Run.all(home)) == []


@pytest.mark.requirement("hook-stop-remote", "watch-saved")
@pytest.mark.parametrize("data", [b"", b'{"remote": {"driv', b'{"remote": 7}', b"\0" * 30])
def test_what_a_power_cut_left_of_it_is_ignored(
    store: Store, home: Path, asked: list[tuple[object, ...]], data: bytes
) -> None:
    run = submitted(store, home)
    (run.directory / "watches.json").write_bytes(data)
    (run.directory / "watches.json.tmp").write_bytes(b'{"remote": {"driver": 7}}')
    (outcome,) = repair(store, home, print)
    assert outcome.reason is Reason.JOB_LOST
    assert asked == [("stop", "job-1", None, {})]
    assert list(Run.all(home)) == []


@pytest.mark.requirement("hook-stop-remote")
def test_where_the_directory_is_gone_nothing_is_known(
    store: Store, home: Path, asked: list[tuple[object, ...]]
) -> None:
    submitted(store, home).remove()
    repair(store, home, print)
    assert asked == [("stop", "job-1", None, {})]


@pytest.mark.requirement("hook-stop-remote", "watch-saved")
@pytest.mark.parametrize(
    ("changes", "stopped"),
    [
        ({"code": 0}, False),
        ({"code": 9}, False),
        ({"code": -1, "signal": 15, "cause": 7}, False),
        ({"code": 0, "cause": 3}, True),
        ({"code": 0, "cause": 1}, True),
        ({"code": 0, "cause": 4}, True),
        ({"driver_waited": 0, "cause": 6}, True),
    ],
)
def test_by_the_guard_s_record_only_what_was_cut_short_is_ended_elsewhere(
    store: Store,
    home: Path,
    asked: list[tuple[object, ...]],
    changes: dict[str, int],
    stopped: bool,  # noqa: FBT001 - a table
) -> None:
    run = submitted(store, home, as_bytes(**changes))
    assert keep_saved(run.directory, {"remote": {"driver": 7}})
    repair(store, home, print)
    assert [one[0] for one in asked] == (["stop", "evidence"] if stopped else ["evidence"])
    assert {str(one[-1]) for one in asked} == {"{'driver': 7}"}


@pytest.mark.requirement("hook-stop-remote", "store-2.4")
def test_an_outcome_that_was_kept_is_asked_of_nobody(store: Store, home: Path, asked: list[tuple[object, ...]]) -> None:
    run = submitted(store, home, as_bytes(cause=3))
    submission = store.submission("job-1")
    assert submission is not None
    assert keep(run.directory, never_started("no", submission, at=2.0))
    repair(store, home, print)
    assert asked == []


@pytest.mark.requirement("hook-stop-remote", "watch-contained")
def test_a_plugin_that_fails_there_keeps_nothing_from_being_decided(
    tmp_path: Path, store: Store, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted(store, home)
    with own_site(tmp_path, monkeypatch) as site:
        plugin(site, "remote", hook("stop_remote()", "raise SystemExit('no')"))
        said: list[str] = []
        (outcome,) = repair(store, home, said.append)
    assert outcome.reason is Reason.JOB_LOST
    assert said == ["plugin 'remote' failed in raydp_wrap_stop_remote: SystemExit('no')"]


@pytest.mark.requirement("fault-18")
@pytest.mark.parametrize("what", ["directory", "lock"])
def test_a_job_that_runs_is_left_alone_whatever_became_of_its_directory(
    home: Path, store: Store, tmp_path: Path, what: str
) -> None:
    report = tmp_path / "report"
    words = ["run", "--report", report, "--", "sh", "-c", "echo ready; read x; exit 5"]
    env = environment(RAYDP_WRAP_HOME=str(home))
    job = subprocess.Popen(
        [sys.executable, "-m", "raydp_wrap", *words],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert job.stdout
    assert job.stdout.readline() == b"ready\n"
    (run,) = (home / "run").iterdir()
    if what == "directory":
        shutil.rmtree(run)
    else:
        (run / "lock").unlink()
    (sentence,) = told(store, home)
    assert "left alone" in sentence
    job.communicate(b"\n", timeout=30)
    assert job.returncode == 5
    assert json.loads(report.read_text())["exit_code"] == 5
    assert store.undecided() == []
