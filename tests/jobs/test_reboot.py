"""The machine reboots with jobs in every state: what ran is lost or retried, the rest goes on, no old pid is used."""

from __future__ import annotations

import subprocess
import uuid
from typing import TYPE_CHECKING

import pytest
from jobs.real_home import RealHome, Supervisors, until
from jobs.strangers import Strangers, lose

from raydp_wrap.model import Reason
from raydp_wrap.process.identity import ProcessIdentity
from raydp_wrap.request import FailureRule, Phase, RetryPolicy, RuleAction

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from raydp_wrap.job import Job

#: The first attempt runs until it is ended, the second one succeeds.
SECOND = "test $RAYDP_WRAP_ATTEMPT = 2 || exec sleep 100"
AT_ONCE = RetryPolicy(1, backoff_first=0.01)
NOT_WHEN_LOST = RetryPolicy(5, rules=(FailureRule(RuleAction.FAIL, reasons=(Reason.JOB_LOST,)),))
IGNORED = RetryPolicy(0, backoff_first=0.01, rules=(FailureRule(RuleAction.IGNORE, reasons=(Reason.JOB_LOST,)),))
SOON = RetryPolicy(1, backoff_first=1.0, jitter=0.0)
MUCH_LATER = RetryPolicy(1, backoff_first=1000.0, jitter=0.0)
MOUNT = 'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"'


@pytest.fixture
def after_the_reboot(tmp_path: Path) -> Iterator[Supervisors]:
    """The supervisors of the next boot: they see another boot id, in a mount namespace of their own."""
    boot_id = tmp_path / "boot_id"
    boot_id.write_text(f"{uuid.uuid4()}\n", encoding="ascii")
    wrap = ("unshare", "-m", "sh", "-c", MOUNT, str(boot_id))
    try:
        tried = subprocess.run([*wrap, "true"], check=False, stderr=subprocess.PIPE, timeout=60)
    except OSError as error:
        pytest.skip(f"NOT TESTED: {error}")
    if tried.returncode:
        pytest.skip(f"NOT TESTED: no boot id can be mounted here: {tried.stderr.decode()}")
    one = Supervisors(wrap)
    yield one
    one.close()


def submit_all(home: RealHome, tmp_path: Path) -> dict[str, tuple[str, ...]]:
    """Twenty jobs, by what is to become of them; all but the last have begun."""
    kinds = {
        "lost": (RetryPolicy(), 4),
        "again": (AT_ONCE, 4),
        "final": (NOT_WHEN_LOST, 2),
        "ignored": (IGNORED, 2),
        "stopped": (AT_ONCE, 2),
        "paused": (AT_ONCE, 2),
    }
    names: dict[str, tuple[str, ...]] = {}
    for kind, (policy, count) in kinds.items():
        names[kind] = tuple(f"{kind}{number}" for number in range(count))
        for name in names[kind]:
            home.submit(name, "sh", "-c", SECOND, retry=policy, sinks=(f"file:{tmp_path}/{name}.json",))
    home.submit("due", "sh", "-c", "test $RAYDP_WRAP_ATTEMPT = 2", retry=SOON)
    home.submit("overdue", "false", retry=MUCH_LATER, active_deadline=2.0)
    home.submit("ended", "sh", "-c", "exit 3")
    home.submit("pending", "/bin/true", suspend=True)
    return names


@pytest.mark.slow
@pytest.mark.requirement("fault-24", "jobs-2.2-reboot")
def test_a_reboot(home: RealHome, tmp_path: Path, strangers: Strangers, after_the_reboot: Supervisors) -> None:
    names = submit_all(home, tmp_path)
    running = [name for kind in names.values() for name in kind]
    home.start()
    for name in running:
        home.until(name, Phase.RUNNING)
    for name in ("due", "overdue"):
        home.until(name, Phase.RETRYING)
    ended = home.until("ended")
    assert ended.exit_code == 3
    home.kill()
    old = [pid for name in running for pid in lose(home, name)]
    for pid in old:
        strangers.take(pid)
    for name in names["stopped"]:
        home.stop(name)
    for name in names["paused"]:
        home.suspend(name)
    home.resume("pending")
    # A sender of the old boot held a claim: this process is one, as far as the new boot can know.
    home.submit("unheard", "/bin/true", sinks=(f"file:{tmp_path}/unheard.json",))
    home.stop("unheard")
    claimed = home.store.claim(ProcessIdentity.of_this_process(), submission_id="unheard", lease=3600.0)
    assert len(claimed) == 1

    before, home.supervisors = home.supervisors, after_the_reboot
    try:
        home.start()
        ending = [*running, "due", "overdue", "pending", "unheard"]
        jobs: dict[str, Job] = {name: home.until(name) for name in ending if name not in names["paused"]}
        for name in names["paused"]:
            job = home.until(name, Phase.SUSPENDED)
            assert (job.attempt, job.failed, job.active) == (1, 1, False)
            home.stop(name)
        until(lambda: home.store.next_due() is None, home.store.undelivered)
    finally:
        home.kill()
        home.supervisors = before

    for name in (*names["lost"], *names["final"]):
        job = jobs[name]
        assert (job.phase, job.reason, job.attempt, job.failed) == (Phase.FAILED, Reason.JOB_LOST.value, 1, 1)
    for name in names["again"]:
        assert (jobs[name].phase, jobs[name].attempt, jobs[name].failed) == (Phase.FINISHED, 2, 1)
    for name in names["ignored"]:
        assert (jobs[name].phase, jobs[name].attempt, jobs[name].failed, jobs[name].ignored) == (
            Phase.FINISHED,
            2,
            0,
            1,
        )
    for name in names["stopped"]:
        assert (jobs[name].phase, jobs[name].attempt) == (Phase.KILLED, 1)
    assert (jobs["due"].phase, jobs["due"].attempt) == (Phase.FINISHED, 2)
    assert (jobs["overdue"].phase, jobs["overdue"].reason) == (Phase.FAILED, Reason.DEADLINE_EXCEEDED.value)
    assert jobs["pending"].phase is Phase.FINISHED
    assert home.job("ended") == ended, "what had ended has not changed"
    for name in (*running, "unheard"):
        assert (tmp_path / f"{name}.json").exists(), "its sink is told"
    assert strangers.all_live(), "an old pid was signalled"
