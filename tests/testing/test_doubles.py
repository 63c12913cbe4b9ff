"""The doubles and fixtures for plugin authors do what they say."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from programs.facts import environment, eventually

from raydp_wrap.backend import Verdict
from raydp_wrap.errors import UsageError
from raydp_wrap.home import home
from raydp_wrap.model import Outcome
from raydp_wrap.outcome import from_dict, to_dict
from raydp_wrap.testing import FaultySink, a_report, an_outcome, call, hostile_outcome
from raydp_wrap.testing.leftovers import leftovers

if TYPE_CHECKING:
    from collections.abc import Callable

    Make = Callable[..., FaultySink]

pytestmark = pytest.mark.requirement("plugin-3.7")


@pytest.mark.parametrize(
    ("step", "verdict", "applied"),
    [
        ("accept", Verdict.ACCEPTED, 1),
        ("slow=0.01", Verdict.ACCEPTED, 1),
        ("print", Verdict.ACCEPTED, 1),
        ("retry", Verdict.RETRY_AFTER, 0),
        ("retry=2.5", Verdict.RETRY_AFTER, 0),
        ("reject", Verdict.REJECTED, 0),
        ("raise", Verdict.RETRY_AFTER, 0),
        ("nonsense", Verdict.RETRY_AFTER, 0),
        ("exit", Verdict.RETRY_AFTER, 0),
        ("exit=3", Verdict.RETRY_AFTER, 0),
        ("segfault", Verdict.RETRY_AFTER, 0),
        ("die", Verdict.RETRY_AFTER, 1),
    ],
)
def test_a_faulty_sink_does_the_step_and_then_the_next(
    faulty_sink: Make, step: str, verdict: Verdict, applied: int
) -> None:
    sink = faulty_sink(step, "accept")
    called = call(sink, a_report("one"))
    assert called.verdict is verdict
    assert called.returned is (step.partition("=")[0] not in ("exit", "segfault", "die"))
    assert (called.raised is not None) is (step == "raise")
    assert [key for key, _ in sink.applied()] == ["one"] * applied
    assert call(sink, a_report("one", tries=2)).verdict is (Verdict.DUPLICATE if applied else Verdict.ACCEPTED)
    assert [key for key, _ in sink.applied()] == ["one"]
    assert sink.calls() == [("one", step.partition("=")[0]), ("one", "accept")]
    assert call(sink, a_report("two")).verdict is verdict, "each key has the whole script"
    if step == "retry=2.5":
        assert called.answer is not None
        assert called.answer.seconds == 2.5


def test_a_sink_that_hangs_is_ended(faulty_sink: Make) -> None:
    began = time.monotonic()
    called = call(faulty_sink("hang"), a_report(), timeout=0.2)
    assert called.answer is None
    assert not called.returned
    assert not called.told
    assert time.monotonic() - began < 20


def test_a_faulty_sink_is_made_of_its_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sink = FaultySink("needs-app-id,retry=1,accept@here")
    assert sink.needs_app_id
    assert not FaultySink("accept@here").needs_app_id
    assert sink.text == f"needs-app-id,retry=1,accept@{tmp_path}/here"
    for wrong in ("", "accept", "accept@", "dance@here"):
        with pytest.raises(UsageError, match=r"STEP,STEP,…@FILE"):
            FaultySink(wrong)


def test_an_outcome_has_something_everywhere() -> None:
    outcome = an_outcome(signal=None)
    empty = [name for name in Outcome.__slots__ if getattr(outcome, name) in (None, "", (), {}, 0)]
    assert empty == ["signal"]
    assert from_dict(to_dict(outcome)) == outcome
    assert an_outcome(name="x").name == "x"
    hostile = hostile_outcome()
    assert from_dict(json.loads(json.dumps(to_dict(hostile)))) == hostile
    report = a_report(submission_id="s-9")
    assert (report.key, report.outcome.submission_id, report.tries) == ("s-9/1", "s-9", 1)


def test_the_home_is_the_test_s_own(raydp_wrap_home: Path) -> None:
    assert home() == raydp_wrap_home
    assert [name for name in os.environ if name.startswith("RAYDP_WRAP_")] == ["RAYDP_WRAP_HOME"]


def test_leftovers_are_seen_and_ended() -> None:
    with leftovers() as left:
        command = ["/bin/sh", "-c", "setsid sleep 1000 & echo; exit 0"]
        assert subprocess.run(command, check=True, capture_output=False, stdout=subprocess.DEVNULL).returncode == 0
        child = subprocess.Popen(["sleep", "2000"])
        arguments = Path(f"/proc/{child.pid}/cmdline")
        eventually(lambda: arguments.read_bytes() == b"sleep\0002000\0", "it is that program")
    assert len(left) == 2
    assert any("sleep 2000" in one for one in left)
    child.returncode = -signal.SIGKILL  # it was reaped there


def test_what_ends_in_time_is_no_leftover() -> None:
    with leftovers(30) as left:
        subprocess.run(["/bin/sh", "-c", "setsid sleep 0.1 &"], check=True)
    assert left == []


def test_without_pytest_it_says_what_it_needs() -> None:
    code = "import sys; sys.modules['pytest'] = None\ntry: import raydp_wrap.testing\nexcept ImportError as e: print(e)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment())
    assert done.stdout == "raydp_wrap.testing needs pytest: pip install pytest, and try again.\n"
