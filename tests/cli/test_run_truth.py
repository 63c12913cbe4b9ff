"""What a driver does on its way out, and what is true of it."""

from __future__ import annotations

import os
import shutil
import signal
import time
from typing import TYPE_CHECKING

import pytest
from programs.wrapping import Wrap, line, until

from raydp_wrap.store import Store

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.requirement("raydp-5", "raydp-4")
@pytest.mark.parametrize("answer", ["raise RuntimeError('executors')", "sys.exit(0)", "sys.exit(1)", "os._exit(7)"])
def test_a_stop_stays_a_stop_whatever_the_application_makes_of_it(wrap: Wrap, answer: str) -> None:
    script = (
        "import os, signal, sys\n"
        f"def stop(*_):\n    {answer}\n"
        "signal.signal(signal.SIGTERM, stop)\nprint('ready', flush=True)\nwhile True: signal.pause()"
    )
    process = wrap.start("--report", str(wrap.report), "--", "python3", "-c", script)
    assert line(process) == b"ready"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    outcome = wrap.outcome()
    assert (outcome["state"], outcome["reason"]) == ("KILLED", "StopRequested")
    assert process.returncode == outcome["exit_code"] != 0


@pytest.mark.requirement("raydp-9")
def test_a_main_that_returned_is_no_end_while_a_thread_lives(wrap: Wrap, tmp_path: Path) -> None:
    end = tmp_path / "end"
    os.mkfifo(end)
    script = (
        "import os, sys, threading\n"
        f"def work():\n    open({str(end)!r}).read()\n    os._exit(9)\n"
        "threading.Thread(target=work).start()\nprint('main returned', flush=True)"
    )
    process = wrap.start("--report", str(wrap.report), "--", "python3", "-c", script)
    assert line(process) == b"main returned"
    with Store(wrap.home) as store:
        assert len(store.undecided()) == 1
    assert not wrap.report.exists()
    with end.open("w"):
        pass
    process.communicate(timeout=30)
    assert process.returncode == wrap.outcome()["exit_code"] == 9


@pytest.mark.requirement("fault-18")
@pytest.mark.parametrize("fate", ["moved", "deleted"])
def test_a_state_directory_that_is_gone_costs_nobody_the_outcome(wrap: Wrap, tmp_path: Path, fate: str) -> None:
    process = wrap.start("--report", str(wrap.report), "--", "sh", "-c", "echo ready; read x; exit 5")
    assert line(process) == b"ready"
    if fate == "moved":
        wrap.home.rename(tmp_path / "elsewhere")
    else:
        shutil.rmtree(wrap.home)
    _, err = process.communicate(b"\n", timeout=30)
    assert process.returncode == 5
    assert wrap.outcome()["exit_code"] == 5
    assert b"could not be stored" in err
    assert b"Traceback" not in err


@pytest.mark.requirement("raydp-8")
def test_the_outcome_is_readable_after_everybody_is_gone(wrap: Wrap) -> None:
    wrap.run("--report", str(wrap.report), "--", "sh", "-c", "exit 6")
    until(lambda: wrap.left() == [], "nothing of the run is left")
    with Store(wrap.home) as store:
        outcome = store.outcome(wrap.outcome()["submission_id"])
    assert outcome is not None
    assert outcome.exit_code == 6
    assert outcome.started_at is not None
    assert outcome.started_at <= time.time()


@pytest.mark.requirement("run-3.4", "plugin-3.3")
def test_a_wrong_choice_of_plugins_is_refused_before_anything_is_stored(wrap: Wrap) -> None:
    env = {**os.environ, "RAYDP_WRAP_PLUGINS": "a,-b"}
    done = wrap.run("--report", str(wrap.report), "--", "echo", "ran", env=env)
    assert (done.returncode, done.stdout) == (125, b"")
    assert done.stderr.count(b"\n") == 1
    assert not wrap.report.exists()
    assert not (wrap.home / "store.db").exists()
