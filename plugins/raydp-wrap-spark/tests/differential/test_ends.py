"""Every row of the table, measured on both sides."""

from __future__ import annotations

import signal
import subprocess

import pytest
from spark_sides import FASTER, PROGRAMS, alike, assert_polite, outcomes
from spark_table import ROWS, Seen

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

# Seconds that stock stays after ours was ended: more than it ever takes to end.
HANGS = 5.0


def run_one(run, row):
    if row.signals:
        run.told()
    for target, number in row.signals:
        run.send(target, number)
        if number == signal.SIGQUIT:
            run.wait_for("Full thread dump")
    expected = row.stock if run.name == "stock" else row.ours
    return run.ended(expected.left)


@pytest.mark.requirement("drop-in-1", "drop-in-4", "drop-in-5")
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_it_ends_as_the_table_says(pair, tmp_path, row):
    told = tmp_path / "told"
    env = {**FASTER, "RAYDP_WRAP_SINKS": f"exec:tee -a {told}"}
    runs = pair.start(pair.application(row.app, row.end), env=env, ignore=row.ignore)
    stock, ours = (run_one(run, row) for run in runs)
    assert Seen(stock.status, stock.left) == row.stock, stock.stderr
    assert Seen(ours.status, ours.left) == row.ours, ours.stderr
    assert (row.stock == row.ours) == (not row.why)
    assert ours.stderr == stock.stderr
    assert alike(row.app, ours.stdout, stock.stdout)
    assert_polite(ours)
    (outcome,) = outcomes(told)
    assert " ".join(filter(None, (outcome["state"], outcome["reason"]))) == row.outcome
    if row.outcome != "KILLED OwnerDied":
        assert (outcome["exit_code"] or 128 + (outcome["signal"] or -128)) == row.ours.status


@pytest.mark.requirement("drop-in-4")
def test_a_jvm_that_hangs_after_its_work_is_ended(pair, tmp_path):
    """On purpose: stock stays as long as a thread of the application's that nobody ends."""
    told = tmp_path / "told"
    env = {"RAYDP_WRAP_SINKS": f"exec:tee -a {told}", "RAYDP_WRAP_EXIT_TIMEOUT": "2s"}
    options = ["--master", "local[1]", "--conf", "spark.ui.enabled=false"]
    stock, ours = pair.start([*options, str(PROGRAMS / "hanging.py"), "0", "0"], env=env)
    for run in (stock, ours):
        run.wait_for("done")
    assert ours.ended().status == 0
    with pytest.raises(subprocess.TimeoutExpired):
        stock.process.wait(HANGS)
    (outcome,) = outcomes(told)
    assert (outcome["state"], outcome["exit_code"]) == ("FINISHED", 0)
    assert "ExitForced" in outcome["diagnostics"]


@pytest.mark.requirement("drop-in-5")
def test_the_kernel_takes_the_jvm_for_lack_of_memory(pair, tmp_path, memory_limit):
    """Both in one cgroup of their own: its limit is the cause."""
    told = tmp_path / "told"
    env = {**FASTER, "RAYDP_WRAP_SINKS": f"exec:tee -a {told}"}
    argv = ["--driver-java-options", "-XX:MaxDirectMemorySize=8g", *pair.application("java", "memory")]
    inside = ["sh", "-c", f'echo $$ >{memory_limit(400 << 20)}/cgroup.procs; exec "$@"', "sh"]
    (ours,) = (run.ended() for run in pair.start(argv, env=env, prefix=inside, sides=("ours",)))
    assert ours.status == 137
    assert_polite(ours)
    (outcome,) = outcomes(told)
    assert (outcome["state"], outcome["signal"], outcome["reason"]) == ("FAILED", 9, "OutOfMemory")
