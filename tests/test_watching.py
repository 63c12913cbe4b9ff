"""Real drivers, watched by an installed plugin: what becomes of what it learns, in the owner and after its death."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from programs.facts import environment
from programs.installed import own_site, plugin
from programs.wrapping import reap_orphans, until

from raydp_wrap.foreground import Policy, run
from raydp_wrap.model import Launch, Outcome, Reason, TerminalState
from raydp_wrap.plugins import watches
from raydp_wrap.process import Guard
from raydp_wrap.watching import keep, kept

if TYPE_CHECKING:
    from collections.abc import Iterator

FINISHED, FAILED, KILLED = TerminalState.FINISHED, TerminalState.FAILED, TerminalState.KILLED
PROGRAMS = Path(__file__).parent / "programs"


class Job:
    """A home, a log of all that the plugin is asked, and a driver that knows both and our pid."""

    def __init__(self, folder: Path, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.home, self.report = folder, folder / "state", folder / "report.json"
        self.log = folder / "log"
        self.told: list[str] = []
        monkeypatch.setenv("RAYDP_WRAP_HOME", str(self.home))
        monkeypatch.setenv("WATCH_LOG", str(self.log))
        monkeypatch.setenv("OWNER", str(os.getpid()))
        plugin(site, "watchful", (PROGRAMS / "watchful.py").read_text())
        self.site = site
        self.setenv = monkeypatch.setenv

    def run(self, script: str, **policy: Any) -> Outcome:
        sinks = (f"file:{self.report}",)
        return run(Launch(("sh", "-c", script)), Policy(name="n", sinks=sinks, **policy), self.told.append)

    def start(self, script: str, *before: str) -> subprocess.Popen[bytes]:
        """In a process of its own, to be killed."""
        words = [*(before or ("-m", "raydp_wrap")), "run", "--report", str(self.report), "--", "sh", "-c", script]
        env = environment()
        env["PYTHONPATH"] = f"{self.site}:{env['PYTHONPATH']}"
        return subprocess.Popen([sys.executable, *words], env=env, start_new_session=True)

    def lines(self, *words: str) -> list[str]:
        """Of the log, those that begin with one of WORDS."""
        found = self.log.read_text().splitlines() if self.log.exists() else []
        return [line for line in found if not words or line.split()[0] in words]


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Job]:
    with own_site(tmp_path, monkeypatch) as site:
        yield Job(tmp_path, site, monkeypatch)


POLITE = """
trap '{usr1}' USR1
trap 'echo TERM >> $WATCH_LOG; exit 0' TERM
echo running >&2
{then}
while :; do sleep 0.02; done
"""
STOP_ME = "kill -TERM $OWNER"


@pytest.mark.requirement("hook-watch")
def test_the_app_id_is_noted_and_everybody_told(job: Job) -> None:
    outcome = job.run("echo app app-7 >&2; exit 3")
    assert (outcome.state, outcome.exit_code, outcome.app_id) == (FAILED, 3, "app-7")
    assert json.loads(job.report.read_text())["app_id"] == "app-7"
    assert job.lines("event") == [
        "event submitted None",
        "event attempt started None",
        "event app id known app-7",
        "event terminal app-7",
    ]
    assert job.lines("started", "ended", "close", "evidence") == ["started", "ended", "close", "evidence NONE {}"]
    assert job.told == []


@pytest.mark.requirement("hook-watch", "watch-contained")
@pytest.mark.parametrize("name", ["", "x" * 5000])
def test_what_can_be_no_app_id_is_told(job: Job, name: str) -> None:
    outcome = job.run(f"echo app {name} >&2; exit 0")
    assert (outcome.state, outcome.app_id) == (FINISHED, None)
    (sentence,) = job.told
    assert "the app id could not be noted" in sentence


@pytest.mark.requirement("hook-watch")
def test_a_job_that_is_up_meets_its_start_deadline(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    ready = Guard.ready
    said: list[Guard] = []
    monkeypatch.setattr(Guard, "ready", lambda guard: said.append(guard) or ready(guard))
    assert job.run("for n in 1 2 3; do echo running >&2; sleep 0.05; done").state is FINISHED
    assert len(said) == 1


@pytest.mark.requirement("watch-contained")
def test_a_watch_that_raises_costs_the_job_nothing(job: Job) -> None:
    outcome = job.run("echo save FINISHED >&2; sleep 0.1; echo raise enough >&2; sleep 0.1; exit 3")
    assert (outcome.state, outcome.exit_code) == (FINISHED, 0), "what it had saved still counts"
    assert job.lines("ended") == []
    assert job.lines("close") == ["close"]
    (sentence,) = job.told
    assert "ValueError('enough')" in sentence


@pytest.mark.requirement("watch-contained")
def test_a_watch_that_is_readable_for_ever_does_not_keep_the_owner_busy(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watches, "_MOST_A_SECOND", 20)  # so many are done on a slow machine, too
    given_up = "until grep -q close $WATCH_LOG; do sleep 0.02; done"
    assert job.run(f"echo save FINISHED >&2; sleep 0.1; echo gone >&2; {given_up}; exit 3").state is FINISHED
    assert job.lines("ended", "close") == ["close"]
    (sentence,) = job.told
    assert "more than 20 times a second" in sentence


@pytest.mark.requirement("watch-stop-order")
def test_first_the_application_is_asked_and_then_the_signal_sent(job: Job) -> None:
    job.setenv("WATCH_STOP", "usr1")
    job.setenv("WATCH_SECONDS", "600")
    asked = "echo USR1 >> $WATCH_LOG; echo asked >&2"
    outcome = job.run(POLITE.format(usr1=asked, then=STOP_ME))
    assert (outcome.state, outcome.reason) == (KILLED, Reason.STOP_REQUESTED)
    assert job.lines("stop", "USR1", "TERM") == ["stop", "USR1", "TERM"]


@pytest.mark.requirement("watch-stop-order")
def test_one_that_ends_politely_is_sent_nothing(job: Job) -> None:
    job.setenv("WATCH_STOP", "usr1")
    job.setenv("WATCH_SECONDS", "600")
    outcome = job.run(POLITE.format(usr1="echo USR1 >> $WATCH_LOG; exit 0", then=STOP_ME))
    assert (outcome.state, outcome.reason) == (KILLED, Reason.STOP_REQUESTED), "it was asked for, whatever came of it"
    assert job.lines("stop", "USR1", "TERM") == ["stop", "USR1"]


@pytest.mark.requirement("watch-stop-order")
def test_the_request_is_on_record_before_anybody_is_asked(job: Job) -> None:
    job.setenv("WATCH_STOP", "kill")
    outcome = job.run(POLITE.format(usr1="", then=STOP_ME))
    assert (outcome.state, outcome.reason, outcome.signal) == (KILLED, Reason.STOP_REQUESTED, signal.SIGKILL)
    assert "SIGTERM from pid" in outcome.diagnostics


@pytest.mark.requirement("watch-stop-order", "stop-delay")
@pytest.mark.parametrize("seconds", ["0", "30", "1e9", "nan"])
def test_the_guard_is_told_how_long_the_watch_wants(job: Job, monkeypatch: pytest.MonkeyPatch, seconds: str) -> None:
    postpone = Guard.postpone
    delays: list[float] = []

    def noted(guard: Guard, delay: float) -> None:
        delays.append(delay)
        postpone(guard, 0)

    monkeypatch.setattr(Guard, "postpone", noted)
    job.setenv("WATCH_SECONDS", seconds)
    assert job.run(POLITE.format(usr1="", then=STOP_ME)).state is KILLED
    assert delays == [{"0": 0.0, "30": 30.0, "1e9": 600.0, "nan": 0.0}[seconds]]
    assert job.lines("stop", "TERM") == ["stop", "TERM"]


@pytest.mark.requirement("watch-stop-order")
def test_a_second_request_waits_no_longer(job: Job) -> None:
    job.setenv("WATCH_STOP", "usr1")
    job.setenv("WATCH_SECONDS", "600")
    outcome = job.run(POLITE.format(usr1="kill -INT $OWNER", then=STOP_ME))
    assert outcome.state is KILLED
    assert job.lines("stop", "TERM") == ["stop", "TERM"]


@pytest.mark.requirement("exit-forced")
@pytest.mark.parametrize(
    ("said", "state", "code", "reason"),
    [
        ("save FINISHED", FINISHED, 0, None),
        ("save FAILED 3", FAILED, 3, Reason.APP_FAILED),
        ("", FAILED, None, Reason.EXIT_FORCED),
    ],
)
def test_an_application_that_is_over_is_ended_and_judged_by_evidence(
    job: Job, said: str, state: TerminalState, code: int | None, reason: Reason | None
) -> None:
    outcome = job.run(f"echo {said} >&2; echo over it was done for a minute >&2; exec sleep 1000")
    assert (outcome.state, outcome.exit_code, outcome.reason) == (state, code, reason)
    assert "ExitForced" in outcome.diagnostics
    assert "it was done for a minute" in outcome.diagnostics
    assert job.lines("stop", "stop_remote") == []


@pytest.mark.requirement("hook-stop-remote")
@pytest.mark.parametrize("code", [0, 3])
def test_what_ended_by_itself_is_ended_nowhere_else(job: Job, code: int) -> None:
    assert job.run(f"echo app app-7 >&2; exit {code}").exit_code == code
    assert job.lines("stop_remote", "evidence") == ["evidence NONE {}"]


@pytest.mark.requirement("hook-stop-remote")
def test_what_was_stopped_is_ended_elsewhere_before_evidence_is_asked_for(job: Job) -> None:
    script = POLITE.format(usr1="", then=f"echo app app-7 >&2; echo save FINISHED >&2; sleep 0.1; {STOP_ME}")
    outcome = job.run(script)
    assert (outcome.state, outcome.reason) == (KILLED, Reason.STOP_REQUESTED), "evidence does not undo a stop"
    saved = {"said": "FINISHED"}
    assert job.lines("stop_remote", "evidence", "close") == [
        "close",
        f"stop_remote app-7 REQUEST {saved}",
        f"evidence REQUEST {saved}",
    ]


@pytest.mark.requirement("hook-stop-remote")
def test_what_a_deadline_ended_is_ended_elsewhere(job: Job) -> None:
    assert job.run("exec sleep 1000", active_deadline=0.05).reason is Reason.DEADLINE_EXCEEDED
    assert job.lines("stop_remote") == ["stop_remote None ACTIVE_DEADLINE {}"]


@pytest.mark.requirement("hook-stop-remote", "watch-contained", "guard-2.6")
def test_a_guard_that_is_killed_and_a_watch_that_still_has_much_to_say(job: Job) -> None:
    begun = "until grep -q started $WATCH_LOG; do sleep 0.02; done"
    outcome = job.run(f"{begun}; echo app app-7 >&2; kill -KILL $PPID; exec sleep 1000")
    assert outcome.reason is Reason.JOB_LOST
    assert outcome.app_id == "app-7"
    assert job.lines("ended", "close", "stop_remote") == ["ended", "close", "stop_remote app-7 GUARD_LOST {}"]
    reap_orphans()


@pytest.mark.requirement("hook-watch")
def test_a_watch_is_closed_where_nothing_could_be_started(job: Job) -> None:
    outcome = run(Launch(("no-such-command-at-all",)), Policy())
    assert outcome.reason is Reason.SUBMISSION_FAILED
    assert job.lines("started", "ended", "close", "stop_remote", "evidence") == ["close"]


# The owner dies.

SAVES = "echo app app-7 >&2; echo save FAILED 3 >&2; exec sleep 1000"
SAVED = {"said": "FAILED 3"}


def saved_of(job: Job) -> dict[str, Any]:
    found = [kept(path) for path in (job.home / "run").glob("*")]
    return found[0] if found else {}


@pytest.mark.requirement("hook-stop-remote", "watch-saved", "guard-2.2")
def test_the_delivery_ends_what_a_killed_owner_left_elsewhere(job: Job) -> None:
    owner = job.start(SAVES)
    until(lambda: saved_of(job) == {"watchful": SAVED}, "it is kept")
    (path,) = (job.home / "run").glob("*/watches.json")
    assert path.stat().st_mode & 0o777 == 0o600
    owner.kill()
    owner.wait()
    until(job.report.exists, "it is reported")
    reap_orphans()
    told = json.loads(job.report.read_text())
    assert (told["state"], told["reason"], told["app_id"]) == ("KILLED", "OwnerDied", "app-7")
    assert job.lines("stop_remote", "evidence", "close") == [
        f"stop_remote app-7 OWNER_DIED {SAVED}",
        f"evidence OWNER_DIED {SAVED}",
    ]
    assert list((job.home / "run").iterdir()) == []


@pytest.mark.requirement("hook-stop-remote", "watch-saved", "store-2.5")
@pytest.mark.parametrize(
    ("point", "script", "asked"),
    [
        ("raydp_wrap.foreground.attended:keep:before", SAVES, ["OWNER_DIED {}"]),
        ("raydp_wrap.foreground.attended:keep:after", SAVES, [f"OWNER_DIED {SAVED}"]),
        ("raydp_wrap.watching:is_cut_short:before", SAVES.replace("exec", "kill -TERM $PPID;"), [f"SIGNAL {SAVED}"]),
        ("raydp_wrap.plugins:evidence:before", SAVES.replace("exec", "kill -TERM $PPID;"), [f"SIGNAL {SAVED}"] * 2),
    ],
    ids=["keep:before", "keep:after", "stop_remote:before", "evidence:before"],
)
def test_an_owner_that_is_killed_between_two_steps(job: Job, point: str, script: str, asked: list[str]) -> None:
    """Where it may have been done it is done once more."""
    owner = job.start(script, str(PROGRAMS / "dying.py"), point)
    assert owner.wait(60) == -signal.SIGKILL
    until(job.report.exists, "it is reported")
    reap_orphans()
    assert [line.partition(" app-7 ")[2] for line in job.lines("stop_remote")] == asked
    assert job.lines("evidence") == [f"evidence {asked[0]}"]


@pytest.mark.requirement("hook-stop-remote", "watch-saved", "raydp-10")
def test_owner_and_guard_killed_at_once(job: Job) -> None:
    owner = job.start(SAVES.replace("exec", "echo $PPID > $WATCH_LOG.pid; exec"))
    until(lambda: saved_of(job) == {"watchful": SAVED}, "it is kept")
    guard = int(until(lambda: (p := Path(f"{job.log}.pid")).exists() and p.read_text(), "it runs"))
    owner.send_signal(signal.SIGSTOP)  # so that it can't tell either
    os.kill(guard, signal.SIGKILL)
    owner.kill()
    owner.wait()
    env = environment()
    env["PYTHONPATH"] = f"{job.site}:{env['PYTHONPATH']}"
    deliver = [sys.executable, "-m", "raydp_wrap", "deliver"]
    for _ in range(2):
        subprocess.run(deliver, env=env, check=True, timeout=60, stdout=subprocess.DEVNULL)
    reap_orphans()
    assert json.loads(job.report.read_text())["reason"] == "JobLost"
    assert job.lines("stop_remote", "evidence") == [f"stop_remote app-7 None {SAVED}"]


@pytest.mark.requirement("watch-saved")
def test_what_is_kept_is_found_again(tmp_path: Path) -> None:
    saved = {"a": {"x": [1, None, "\udc80\n"]}, "b": {}}
    assert kept(tmp_path) == {}
    assert keep(tmp_path, saved)
    assert kept(tmp_path) == saved
    assert keep(tmp_path, {"a": {"x": 2}})
    assert kept(tmp_path) == {"a": {"x": 2}}
    assert os.listdir(tmp_path) == ["watches.json"]
    assert not keep(tmp_path / "gone", saved)
    assert kept(tmp_path / "gone") == {}


@pytest.mark.requirement("watch-saved")
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 40,
        b'{"a": {"x": 1',
        b"7",
        b"[]",
        b'"a"',
        b"\xff\xfe",
        b"[" * 100000,
        b'{"a": ' + b"9" * 9999 + b"}",
    ],
    ids=lambda data: ascii(data[:12]),
)
def test_what_a_power_cut_left_is_nothing(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "watches.json").write_bytes(data)
    assert kept(tmp_path) == {}


@pytest.mark.requirement("watch-saved")
def test_only_mappings_are_taken(tmp_path: Path) -> None:
    (tmp_path / "watches.json").write_text('{"a": 7, "b": {"x": 1}, "c": null, "d": []}')
    assert kept(tmp_path) == {"b": {"x": 1}}
