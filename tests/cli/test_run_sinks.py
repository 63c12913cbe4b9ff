"""Sinks and plugins that misbehave: the outcome, the exit code and the other sinks are the same."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from programs.compiled import HERE
from programs.wrapping import Wrap, line, reap_orphans, until

from raydp_wrap.store import DeliveryStatus, Store

if TYPE_CHECKING:
    from pathlib import Path

    from raydp_wrap.store import Undelivered

FAST = ("--report-timeout", "1s")


@pytest.fixture(autouse=True)
def odd_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{os.environ['PYTHONPATH']}:{HERE / 'odd_plugin'}")
    monkeypatch.setenv("XDG_CACHE_HOME", os.environ["RAYDP_WRAP_HOME"] + "-cache")


def undelivered(wrap: Wrap) -> list[Undelivered]:
    with Store(wrap.home) as store:
        return store.undelivered()


@pytest.mark.requirement("store-2.4", "raydp-2", "fault-31")
def test_a_sink_hung_for_ever_delays_the_end_no_longer_than_it_may(wrap: Wrap, tmp_path: Path) -> None:
    free = tmp_path / "free"
    sinks = ("--sink", f"odd:hang-until,{free}", "--report", str(wrap.report))
    began = time.monotonic()
    done = wrap.run(*FAST, *sinks, "--", "true")
    assert time.monotonic() - began < 20  # the limit, a start, and a machine that does other things
    assert (done.returncode, done.stdout) == (0, b"")
    assert b"no answer in time; raydp-wrap deliver sends it later" in done.stderr
    assert wrap.outcome()["state"] == "FINISHED"
    (row,) = undelivered(wrap)
    assert (row.status, row.tries, row.claimed) == (DeliveryStatus.PENDING, 1, False)
    free.touch()
    delivered = wrap.call("deliver")
    assert delivered.returncode == 0, delivered
    assert b"delivered to odd:" in delivered.stdout
    assert free.read_text() == f"{row.submission_id}.2 FINISHED None\n"
    assert undelivered(wrap) == []


@pytest.mark.requirement("store-2.4", "fault-35", "fault-36")
@pytest.mark.parametrize("how", ["raise", "exit", "die", "crash", "hang"])
def test_what_a_sink_does_it_does_to_itself(wrap: Wrap, tmp_path: Path, how: str) -> None:
    sinks = ("--sink", f"odd:{how},{tmp_path}/odd", "--report", str(wrap.report))
    done = wrap.run(*FAST, *sinks, "--json", "--", "sh", "-c", "echo out; exit 42")
    assert done.returncode == 42
    assert done.stdout.startswith(b"out\n\n{")
    assert json.loads(done.stdout.splitlines()[-1])["exit_code"] == 42
    assert b"raydp-wrap deliver sends it later" in done.stderr
    assert wrap.outcome()["exit_code"] == 42
    (row,) = undelivered(wrap)
    assert row.status is DeliveryStatus.PENDING
    assert wrap.left() == []


@pytest.mark.requirement("store-2.4", "raydp-3")
def test_a_report_that_waits_for_the_app_id_is_sent_when_that_is_known(wrap: Wrap, tmp_path: Path) -> None:
    told = tmp_path / "told"
    began = time.monotonic()
    done = wrap.run("--report-timeout", "60s", "--sink", f"late:,{told}", "--", "true")
    assert time.monotonic() - began < 30  # it is not waited for
    assert done.returncode == 0
    assert b"the app id is not known yet" in done.stderr
    assert not told.exists()
    assert wrap.left() == []  # what there is to clean up is cleaned up
    (row,) = undelivered(wrap)
    assert wrap.call("deliver").returncode == 1
    with Store(wrap.home) as store:
        assert store.bind(row.submission_id, "application_17_0001")
    assert wrap.call("deliver").returncode == 0
    assert told.read_text() == f"{row.submission_id}.1 FINISHED application_17_0001\n"


@pytest.mark.requirement("fault-35", "plugin-3.4")
@pytest.mark.parametrize("how", ["raise", "exit", "print"])
@pytest.mark.parametrize("hook", ["ODD_EDIT", "ODD_EVIDENCE", "ODD_EVENT"])
def test_a_hook_that_fails_changes_nothing(wrap: Wrap, hook: str, how: str) -> None:
    env = {**os.environ, hook: how}
    done = wrap.run("--report", str(wrap.report), "--", "sh", "-c", "echo out; exit 7", env=env)
    assert (done.returncode, done.stdout) == (7, b"out\n")
    assert (b"odd" in done.stderr) == (how != "print")
    assert (wrap.outcome()["state"], wrap.outcome()["exit_code"]) == ("FAILED", 7)


@pytest.mark.slow
@pytest.mark.requirement("fault-35")
@pytest.mark.parametrize("hook", ["ODD_EDIT", "ODD_EVIDENCE", "ODD_EVENT"])
def test_a_hook_that_hangs_changes_nothing(wrap: Wrap, hook: str) -> None:
    env = {**os.environ, hook: "hang"}
    done = wrap.run("--report", str(wrap.report), "--", "sh", "-c", "exit 7", env=env)
    assert done.returncode == 7
    assert b"odd" in done.stderr
    assert wrap.outcome()["exit_code"] == 7


@pytest.mark.requirement("fault-36")
@pytest.mark.parametrize("how", ["die", "crash"])
def test_a_hook_that_ends_the_process_is_the_owner_s_death(wrap: Wrap, how: str) -> None:
    env = {**os.environ, "ODD_EVIDENCE": how}
    done = wrap.run("--report", str(wrap.report), "--", "sh", "-c", "exit 7", env=env)
    assert done.returncode in (0, -signal.SIGSEGV)
    reap_orphans()
    # It ends the delivery as well: what the job did is known all the same, once somebody looks without the plugin.
    env = {**os.environ, "RAYDP_WRAP_PLUGINS": "-odd"}
    assert wrap.call("deliver", env=env).returncode == 0
    assert (wrap.outcome()["state"], wrap.outcome()["exit_code"]) == ("FAILED", 7)
    assert wrap.left() == []


@pytest.mark.requirement("plugin-3.1")
def test_hooks_are_called_with_what_they_are_for(wrap: Wrap, tmp_path: Path) -> None:
    events = tmp_path / "events"
    env = {**os.environ, "ODD_EDIT": "edit", "ODD_EVIDENCE": "failed", "ODD_EVENTS": str(events)}
    done = wrap.run("--report", str(wrap.report), "--name", "n", "--", "sh", "-c", "echo $EDITED", env=env)
    outcome = wrap.outcome()
    assert done.stdout.decode().strip() == outcome["submission_id"]
    assert done.returncode == 1
    assert (outcome["state"], outcome["exit_code"]) == ("FAILED", 1)
    assert outcome["diagnostics"].startswith("n of driver ")
    told = [row.split(f" {outcome['submission_id']} ") for row in events.read_text().splitlines()]
    assert told == [["submitted", "1 None"], ["attempt started", "1 None"], ["terminal", "1 FAILED"]]


@pytest.mark.requirement("sink-4.4")
def test_sinks_come_from_options_and_the_environment_each_once(wrap: Wrap, tmp_path: Path) -> None:
    names = [tmp_path / name for name in ("a", "b", "c", "d")]
    env = {**os.environ, "RAYDP_WRAP_SINKS": f"file:{names[2]}\n\n file:{names[3]}\nfile:{names[0]}"}
    done = wrap.run("--report", str(names[0]), "--sink", f"file:{names[1]}", "--", "true", env=env)
    assert (done.returncode, done.stderr) == (0, b"")
    assert {json.loads(path.read_text())["state"] for path in names} == {"FINISHED"}


@pytest.mark.requirement("sink-4.4", "run-3.4")
@pytest.mark.parametrize(
    "sink",
    ["", "nonsense", "nowhere:x", "file:", "webhook:ftp://h/", "webhook:", "exec:", "exec:no-such-program-at-all"],
)
def test_a_sink_that_can_t_be_told_is_refused_before_anything_starts(wrap: Wrap, tmp_path: Path, sink: str) -> None:
    done = wrap.run("--sink", sink, "--", "touch", str(tmp_path / "started"))
    assert done.returncode == 125
    assert done.stderr.count(b"\n") == 1
    assert not (tmp_path / "started").exists()
    assert wrap.left() == []


@pytest.mark.requirement("sink-4.4")
@pytest.mark.parametrize("value", ["soon", "-1", "1y"])
def test_a_time_limit_that_is_none_is_refused(wrap: Wrap, value: str) -> None:
    done = wrap.run("--", "true", env={**os.environ, "RAYDP_WRAP_REPORT_TIMEOUT": value})
    assert done.returncode == 125
    assert b"RAYDP_WRAP_REPORT_TIMEOUT" in done.stderr


@pytest.mark.requirement("store-2.4")
def test_whoever_wants_the_end_now_gets_it(wrap: Wrap, tmp_path: Path) -> None:
    sinks = ("--sink", f"odd:hang-until,{tmp_path}/never", "--report", str(wrap.report))
    process = wrap.start("--report-timeout", "1h", *sinks, "--", "sh", "-c", "echo ready; exit 3")
    assert line(process) == b"ready"
    until(wrap.report.exists, "the driver has ended")
    until(lambda: len(undelivered(wrap)) == 1, "its report to the file is settled")
    process.terminate()
    _, err = process.communicate(timeout=30)
    assert process.returncode == 3
    assert b"no answer in time" in err
    assert len(undelivered(wrap)) == 1


@pytest.mark.requirement("outcome-1.4")
def test_the_last_lines_of_stderr_are_in_the_diagnostics_where_it_is_a_file(wrap: Wrap, tmp_path: Path) -> None:
    script = "import sys\nprint('password=hunter2', file=sys.stderr)\nint('no')"
    log = tmp_path / "log"
    log.write_text("of an earlier run\n")
    with log.open("ab") as stderr:
        done = wrap.run("--report", str(wrap.report), "--", "python3", "-c", script, stderr=stderr)
    assert done.returncode == 1
    text = wrap.outcome()["diagnostics"]
    assert text.startswith("the driver exited with 1\n")
    assert "ValueError: invalid literal for int() with base 10: 'no'" in text.splitlines()[1]
    assert "hunter2" not in text
    assert "earlier" not in text
    assert log.read_text().endswith("'no'\n")  # nothing of ours was added


@pytest.mark.requirement("fault-15", "store-2.1")
def test_a_disk_that_the_job_filled_has_room_for_the_outcome(wrap: Wrap, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m,mode=0700", "tmpfs", str(home)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("NEEDS ROOT: tmpfs can't be mounted here")
    try:
        env = {**os.environ, "RAYDP_WRAP_HOME": str(home)}
        wrap.run("--", "true", env=env)
        fill = f"cat /dev/zero > {home}/filler 2>/dev/null; exit 42"
        done = wrap.run("--sink", f"odd:,{tmp_path}/told", "--", "sh", "-c", fill, env=env)
        assert done.returncode == 42
        assert (tmp_path / "told").read_text().split()[1] == "FAILED"
        with Store(home) as store:
            assert store.undecided() == []
            told = store.outcome((tmp_path / "told").read_text().split(".")[0])
        assert told is not None
        assert told.exit_code == 42
    finally:
        subprocess.run(["umount", str(home)], check=True)


@pytest.mark.requirement("fault-21", "raydp-8")
def test_a_store_lost_while_the_job_ran_costs_nobody_the_outcome(wrap: Wrap) -> None:
    """Told without it; and afterwards readable from the file, whoever of us is gone."""
    destroy = f"printf garbage > {wrap.home}/store.db; rm -f {wrap.home}/store.db-*; exit 5"
    done = wrap.run("--report", str(wrap.report), "--", "sh", "-c", destroy)
    assert done.returncode == 5
    assert b"the outcome could not be stored, it is FAILED" in done.stderr
    assert wrap.outcome()["exit_code"] == 5
    assert wrap.call("deliver").returncode == 125
    assert wrap.home.joinpath("store.db").read_text() == "garbage"  # left to be looked at


@pytest.mark.requirement("run-3.2", "store-2.4")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, -signal.SIGINT), (signal.SIGTERM, 3)])
def test_ctrl_c_while_sinks_are_told_ends_the_waiting_and_the_caller_s_loop(
    wrap: Wrap, tmp_path: Path, number: int, code: int
) -> None:
    """A shell stops its loop only if it sees that we died of the signal; the outcome stands all the same."""
    began = tmp_path / "began"
    sink = f"exec:sh -c 'echo > {began}; exec sleep 60'"
    process = wrap.start("--report-timeout", "60s", "--sink", sink, "--", "sh", "-c", "exit 3")
    until(began.exists, "the sink is being told")
    process.send_signal(number)
    assert process.wait(30) == code
    assert process.stderr is not None
    assert b"raydp-wrap deliver sends it later" in process.stderr.read()
    (row,) = undelivered(wrap)
    assert (row.status, row.claimed) == (DeliveryStatus.PENDING, False)
    assert wrap.left() == []
    reap_orphans()


@pytest.mark.requirement("fault-35", "plugin-3.4", "run-3.4")
@pytest.mark.parametrize("how", ["raise", "exit", "refuse"])
@pytest.mark.parametrize("scheme", ["made", "checked", "text"])
def test_a_plugin_s_sink_that_ends_us_before_the_start_is_refused(
    wrap: Wrap, tmp_path: Path, scheme: str, how: str
) -> None:
    done = wrap.run("--sink", f"{scheme}:{how},x", "--", "touch", str(tmp_path / "started"))
    assert (done.returncode, done.stdout) == (125, b"")
    said = [text for text in done.stderr.splitlines() if text.startswith(b"raydp-wrap: ")]
    assert len(said) == 1, done.stderr
    assert b"\x1b" not in said[0]
    assert not (tmp_path / "started").exists()
    assert wrap.left() == []


@pytest.mark.slow
@pytest.mark.requirement("fault-35")
@pytest.mark.parametrize("scheme", ["made", "checked", "text"])
def test_a_plugin_s_sink_that_hangs_before_the_start_is_refused(wrap: Wrap, tmp_path: Path, scheme: str) -> None:
    done = wrap.run("--sink", f"{scheme}:hang,x", "--", "touch", str(tmp_path / "started"))
    assert (done.returncode, done.stdout) == (125, b"")
    assert b"it takes more than 5 s" in done.stderr
    assert not (tmp_path / "started").exists()
    assert wrap.left() == []


@pytest.mark.requirement("fault-35")
@pytest.mark.parametrize("scheme", ["made", "checked", "text"])
def test_what_a_plugin_s_sink_prints_before_the_start_is_not_the_job_s(wrap: Wrap, tmp_path: Path, scheme: str) -> None:
    done = wrap.run("--sink", f"{scheme}:print,{tmp_path}/told", "--", "echo", "out")
    assert (done.returncode, done.stdout) == (0, b"out\n")
    assert b"noise on stdout" in done.stderr


@pytest.mark.requirement("plugin-3.4", "fault-35", "outcome-1.2")
@pytest.mark.parametrize(
    "strange",
    ["exit_code=256", f"exit_code={1 << 40}", "exit_code=-100", "signal=128", "at=inf", "at=nan", "at=-1e300"],
)
def test_numbers_that_there_are_not_change_nothing(wrap: Wrap, strange: str) -> None:
    env = {**os.environ, "ODD_NUMBER": strange}
    done = wrap.run("--report", str(wrap.report), "--", "sh", "-c", "exit 7", env=env)
    assert done.returncode == 7, done.stderr
    assert done.stderr.count(b"\n") == 1
    assert b"plugin 'odd' is not heeded in raydp_wrap_evidence" in done.stderr
    assert (wrap.outcome()["state"], wrap.outcome()["exit_code"]) == ("FAILED", 7)


@pytest.mark.requirement("outcome-1.4", "plugin-3.4")
def test_what_a_plugin_saw_is_kept_without_secrets(wrap: Wrap) -> None:
    env = {**os.environ, "ODD_EVIDENCE": "telling"}
    wrap.run("--report", str(wrap.report), "--", "true", env=env)
    text = "\\x1b[31mpassword=***"
    first = wrap.outcome()["evidence"][0]
    assert (first["source"], first["observation"]) == (text, text)
    assert "hunter2" not in wrap.report.read_text()
    with Store(wrap.home) as store:
        stored = store.outcome(wrap.outcome()["submission_id"])
    assert stored is not None
    assert "hunter2" not in repr(stored)
