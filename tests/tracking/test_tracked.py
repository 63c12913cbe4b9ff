"""A process that tracks itself, in a with block or cell by cell: whatever ends it, its outcome is told once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from programs.facts import environment, nothing_left
from programs.wrapping import reap_orphans, until

import raydp_wrap
from raydp_wrap import plugins
from raydp_wrap.errors import StartError, StoreError, UsageError
from raydp_wrap.model import Reason, TerminalState
from raydp_wrap.outcome import to_dict
from raydp_wrap.process import Guard
from raydp_wrap.repair import repair
from raydp_wrap.runs import Run
from raydp_wrap.store import Store

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.requirement("raydp-6")


def told(report: Path) -> dict[str, Any]:
    return json.loads(report.read_text())


def test_a_block_that_ends_is_finished(home: Path, report: Path) -> None:
    with nothing_left(), raydp_wrap.track("n", sinks=[f"file:{report}"], tags={"team": "a"}) as tracked:
        assert tracked.outcome is None
        assert not report.exists()
    assert tracked.outcome is not None
    assert tracked.outcome.state is TerminalState.FINISHED
    outcome = told(report)
    assert (outcome["state"], outcome["exit_code"], outcome["name"]) == ("FINISHED", 0, "n")
    assert (outcome["tags"], outcome["submission_id"]) == ({"team": "a"}, tracked.submission_id)
    assert list(Run.all(home)) == []


@pytest.mark.parametrize(
    ("error", "state", "code", "reason"),
    [
        (ValueError("password=hunter2"), "FAILED", 1, "AppFailed"),
        (SystemExit(3), "FAILED", 3, "AppFailed"),
        (SystemExit("no"), "FAILED", 1, "AppFailed"),
        (SystemExit(0), "FINISHED", 0, None),
        (SystemExit(), "FINISHED", 0, None),
        (KeyboardInterrupt(), "KILLED", 130, "StopRequested"),
    ],
)
def test_what_leaves_a_block_decides(report: Path, error: BaseException, state: str, code: int, reason: str) -> None:
    with nothing_left(), pytest.raises(type(error)), raydp_wrap.track("n", sinks=[f"file:{report}"]):
        raise error
    outcome = told(report)
    assert (outcome["state"], outcome["exit_code"], outcome["reason"]) == (state, code, reason)
    assert ("ValueError" in outcome["diagnostics"]) == isinstance(error, ValueError)
    assert "hunter2" not in outcome["diagnostics"]


def test_cell_by_cell_the_first_end_stands(report: Path) -> None:
    tracked = raydp_wrap.track("n", sinks=[f"file:{report}"])
    tracked.bind("local-17")
    first = tracked.end(5)
    assert tracked.end(0) is first
    assert (told(report)["exit_code"], told(report)["app_id"]) == (5, "local-17")


def test_a_sink_that_can_t_be_told_is_refused(home: Path) -> None:
    with pytest.raises(UsageError, match="nowhere"):
        raydp_wrap.track("n", sinks=["nowhere:x"])
    assert list(Run.all(home)) == []


SCRIPT = """
import os, signal, sys, time, raydp_wrap
report, how = sys.argv[1:]
with raydp_wrap.track("script", sinks=[f"file:{report}"]):
    print("tracked", flush=True)
    if how == "fork":
        pid = os.fork()
        if not pid:
            os._exit(9)
        os.waitpid(pid, 0)
    elif how == "_exit":
        os._exit(0)
    elif how == "raise":
        raise RuntimeError("no")
    elif how.isdigit():
        os.kill(os.getpid(), int(how))
"""


@pytest.mark.requirement("raydp-7")
@pytest.mark.parametrize(
    ("how", "state", "reason"),
    [
        ("nothing", "FINISHED", None),
        ("raise", "FAILED", "AppFailed"),
        ("fork", "FINISHED", None),
        ("_exit", "KILLED", "OwnerDied"),  # how it ended nobody was told: no success
        (str(int(signal.SIGTERM)), "KILLED", "OwnerDied"),
        (str(int(signal.SIGKILL)), "KILLED", "OwnerDied"),
        (str(int(signal.SIGINT)), "KILLED", "StopRequested"),
    ],
)
def test_a_script_is_told_of_once_whatever_ends_it(
    home: Path, report: Path, how: str, state: str, reason: str | None
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(report), how],
        env=environment(), check=False, capture_output=True, timeout=60, start_new_session=True,
    )  # fmt: skip
    assert done.stdout == b"tracked\n", done
    until(report.exists, "it is told")
    reap_orphans()
    assert (told(report)["state"], told(report)["reason"]) == (state, reason)
    assert list(Run.all(home)) == []
    with Store(home) as store:
        assert store.undelivered() == []
        outcome = store.outcome(told(report)["submission_id"])
    assert outcome is not None
    assert outcome.state.value == state
    assert outcome.reason is (Reason(reason) if reason else None)


def test_a_forked_child_has_no_part_in_it(report: Path) -> None:
    with raydp_wrap.track("n", sinks=[f"file:{report}"]) as tracked:
        pid = os.fork()
        if not pid:
            try:
                tracked.end(7)
            except UsageError:
                os._exit(3)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
    assert told(report)["state"] == "FINISHED"


@pytest.mark.requirement("store-2.4", "outcome-1.1")
def test_what_a_sink_was_told_stands_though_the_store_could_not_take_it(
    home: Path, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise StoreError("it is held")

    with monkeypatch.context() as patch, raydp_wrap.track("n", sinks=[f"file:{report}"]) as tracked:
        patch.setattr(Store, "finish", fail)
    assert told(report)["state"] == "FINISHED"
    with Store(home) as store:
        assert len(store.undecided()) == 1
        (outcome,) = repair(store, home, print)
        assert tracked.outcome is not None
        assert to_dict(outcome) == to_dict(tracked.outcome)
        assert store.outcome(tracked.submission_id) == outcome


@pytest.mark.requirement("raydp-3")
def test_one_that_could_not_be_started_is_told(home: Path, report: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise StartError(11, "no guard can be started")

    monkeypatch.setattr(Guard, "start", fail)
    with pytest.raises(StartError):
        raydp_wrap.track("n", sinks=[f"file:{report}"])
    assert (told(report)["reason"], told(report)["diagnostics"]) == ("SubmissionFailed", "no guard can be started")
    with Store(home) as store:
        assert store.undecided() == []


@pytest.mark.requirement("store-2.4")
def test_a_ctrl_c_while_it_is_told_leaves_the_telling_to_whoever_comes_next(
    report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracked = raydp_wrap.track("n", sinks=[f"file:{report}"])

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(plugins, "event", interrupted)
        with pytest.raises(KeyboardInterrupt):
            tracked.end()
    assert not report.exists()
    assert tracked.end(7).state is TerminalState.FINISHED  # the first decision stands
    assert told(report)["state"] == "FINISHED"


def test_a_forked_child_that_leaves_the_block_leaves_it_in_peace(report: Path) -> None:
    pid = -1
    try:
        with raydp_wrap.track("n", sinks=[f"file:{report}"]):
            pid = os.fork()
            if not pid:
                sys.exit(3)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
    except BaseException as error:
        if not pid:
            os._exit(error.code if isinstance(error, SystemExit) else 99)  # type: ignore[arg-type]
        raise
    assert told(report)["state"] == "FINISHED"
