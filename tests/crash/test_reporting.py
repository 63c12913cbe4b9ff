"""The owner SIGKILLed between every two durable steps: one outcome, the true one, and every sink is told of it."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from crash.harness import PROGRAMS, carriers, need_strace, strays
from crash.traced import whole
from programs.facts import environment
from programs.wrapping import reap_orphans, until

from raydp_wrap.model import Outcome, Reason, TerminalState
from raydp_wrap.runs import Run
from raydp_wrap.store import Store

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["strays"]

FINISHED, FAILED, KILLED = TerminalState.FINISHED, TerminalState.FAILED, TerminalState.KILLED
ENDED = "exited"  # the driver ended by itself, with code 3
STOPPED = "stopped"  # it had to be ended
UNSEEN = "unseen"  # nothing was started, or nobody saw it
NOTHING = "nothing"  # nobody had asked for anything yet

POINTS = [
    ("raydp_wrap.store:Store.submit:before", NOTHING),
    ("raydp_wrap.store:Store.submit:after", UNSEEN),
    ("raydp_wrap.process:Guard.start:before", UNSEEN),
    ("raydp_wrap.process:Guard.start:after", STOPPED),
    ("raydp_wrap.foreground.attended:Attended.loop:before", STOPPED),
    ("raydp_wrap.foreground.attended:Attended.loop:after", ENDED),
    ("raydp_wrap.process:Guard.wait:after", ENDED),
    ("raydp_wrap.store:Store.finish:before", ENDED),
    ("raydp_wrap.store:Store.finish:after", ENDED),
    ("raydp_wrap.reporter.call:Call.__init__:after:1", ENDED),
    ("raydp_wrap.reporter.call:Call.__init__:after:2", ENDED),
    ("raydp_wrap.reporter.call:Call.answer:before:1", ENDED),
    ("raydp_wrap.reporter.call:Call.answer:after:2", ENDED),
    ("raydp_wrap.store:Store.settle_all:before:1", ENDED),
    ("raydp_wrap.store:Store.settle_all:after:1", ENDED),
    ("raydp_wrap.runs:Run.create:after", NOTHING),
    ("raydp_wrap.runs:Run.remove:before", ENDED),
    ("raydp_wrap.process:Guard.done:before", ENDED),
    ("raydp_wrap.process:Guard.done:after", ENDED),
]


class Site:
    """A home, two sinks that keep every report they are sent, and a driver."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "state"
        self.told = folder / "told"
        self.started = folder / "started"
        self.told.mkdir()
        self.env = environment(RAYDP_WRAP_HOME=str(self.home))
        keep = """sh -c 'cat > "$0/$RAYDP_WRAP_KEY.$$.new"; mv "$0/$RAYDP_WRAP_KEY.$$.new" "$0/$RAYDP_WRAP_KEY.$$"'"""
        self.words = [
            *("run", "--grace", "0.2s", "--sink", f"exec:{keep} {self.told}", "--sink", f"exec:{keep} {self.told}/"),
            *("--", "sh", "-c", f"echo started >> {self.started}; exit 3"),
        ]

    def deliver(self) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "raydp_wrap", "deliver", "--timeout", "20s"],
            env=self.env, check=False, timeout=60, capture_output=True,
        )  # fmt: skip
        assert done.returncode == 0, done

    def outcome(self) -> Outcome | None:
        with Store(self.home) as store:
            assert store.undecided() == []
            assert store.undelivered() == []
            submissions = {path.name.split(".")[0] for path in self.told.iterdir()}
            assert len(submissions) <= 1
            return store.outcome(submissions.pop()) if submissions else None

    def reports(self) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = {}
        for path in self.told.iterdir():
            if not path.name.endswith(".new"):
                found.setdefault(path.name.rpartition(".")[0], []).append(json.loads(path.read_text()))
        return found

    def judge(self) -> Outcome | None:
        """After all is over: what is known is true, and both sinks know it, each by one key."""
        until(lambda: not carriers(f"RAYDP_WRAP_HOME={self.home}"), "nothing of the job lives")
        self.deliver()
        outcome, reports = self.outcome(), self.reports()
        assert list(Run.all(self.home)) == []
        if outcome is None:
            assert reports == {}
            return None
        assert len(reports) == 2, reports.keys()
        for told in reports.values():
            for one in told:  # at least once; a second time the same
                assert (one["state"], one["exit_code"], one["reason"]) == (
                    outcome.state.value, outcome.exit_code, outcome.reason.value if outcome.reason else None,
                )  # fmt: skip
        return outcome


def kind(outcome: Outcome | None) -> str:
    if outcome is None:
        return NOTHING
    told = (outcome.state, outcome.exit_code, outcome.signal, outcome.reason)
    if told == (FAILED, 3, None, Reason.APP_FAILED):
        return ENDED
    if outcome.reason is Reason.OWNER_DIED and outcome.state is KILLED:
        return STOPPED
    assert (outcome.state, outcome.reason) == (FAILED, Reason.JOB_LOST), outcome
    return UNSEEN


@pytest.mark.requirement("store-2.5", "store-2.2", "raydp-7", "kube-10")
@pytest.mark.parametrize(("point", "expected"), POINTS, ids=[point.partition(":")[2] for point, _ in POINTS])
def test_killed_between_two_steps(tmp_path: Path, point: str, expected: str) -> None:
    site = Site(tmp_path)
    if expected == STOPPED:
        site.words[-1] = f"echo started >> {site.started}; exec sleep 1000"
    command = [sys.executable, str(PROGRAMS / "dying.py"), point, *site.words]
    done = subprocess.run(command, env=site.env, check=False, timeout=60, capture_output=True, start_new_session=True)
    assert done.returncode == -9, done
    reap_orphans()
    outcome = site.judge()
    assert kind(outcome) == expected, outcome
    assert site.started.exists() or expected in (UNSEEN, NOTHING, STOPPED)


def calls(site: Site, trace: Path) -> list[tuple[str, int]]:
    """(call, Nth) of the owner's own, from its first look at its state on."""
    command = [need_strace(), "-q", "-o", str(trace), sys.executable, "-m", "raydp_wrap", *site.words]
    subprocess.run(command, env=site.env, check=False, timeout=60, capture_output=True, start_new_session=True)
    found: list[tuple[str, int]] = []
    seen: Counter[str] = Counter()
    begun = False
    for line in whole(trace).splitlines():
        match = re.match(r"(\w+)\(", line)
        if not match:
            continue
        seen[match[1]] += 1
        begun = begun or f'"{site.home}' in line
        if begun and match[1] not in ("execve", "exit_group"):
            found.append((match[1], seen[match[1]]))
    assert {"fdatasync", "sendto"} <= {call for call, _ in found}, "the whole of a run was seen"
    return found


def kill_at(folder: Path, wanted: list[tuple[str, int]]) -> Counter[str]:
    kinds: Counter[str] = Counter()
    failed = []
    for number, (call, n) in enumerate(wanted):
        (folder / str(number)).mkdir()
        site = Site(folder / str(number))
        command = [need_strace(), "-q", "-o", os.devnull, f"--inject={call}:signal=KILL:when={n}"]
        command += [sys.executable, "-m", "raydp_wrap", *site.words]
        subprocess.run(command, env=site.env, check=False, timeout=60, capture_output=True, start_new_session=True)
        reap_orphans()
        try:
            kinds[kind(site.judge())] += 1
        except AssertionError as error:  # the rest is tried as well
            failed.append(f"{call} {n}: {str(error)[:500]}")
    print(dict(kinds))
    assert not failed, f"{len(failed)} of {len(wanted)}: {failed}"
    return kinds


@pytest.mark.requirement("store-2.5", "fault-1")
def test_killed_at_some_calls(tmp_path: Path) -> None:
    (tmp_path / "trace").mkdir()
    seed = random.randrange(2**32)
    found = calls(Site(tmp_path / "trace"), tmp_path / "trace" / "log")
    print(f"seed {seed}, {len(found)} calls in all")
    kill_at(tmp_path, random.Random(seed).sample(found, 6))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.requirement("store-2.5", "fault-1")
def test_killed_at_every_third_call(tmp_path: Path) -> None:
    (tmp_path / "trace").mkdir()
    seed = random.randrange(2**32)
    found = calls(Site(tmp_path / "trace"), tmp_path / "trace" / "log")
    print(f"seed {seed}, {len(found)} calls in all")
    kinds = kill_at(tmp_path, found[random.Random(seed).randrange(3) :: 3])
    assert {ENDED, NOTHING, UNSEEN} <= set(kinds)


@pytest.mark.requirement("raydp-10", "store-2.5")
def test_owner_and_guard_killed_at_once(tmp_path: Path) -> None:
    """Nobody is left to tell: the next delivery ends what lives, and says that the job is lost."""
    site = Site(tmp_path)
    site.words[-1] = f"sleep 1000 & echo $PPID $! > {site.started}.new; mv {site.started}.new {site.started}; wait"
    owner = subprocess.Popen(
        [sys.executable, "-m", "raydp_wrap", *site.words],
        env=site.env,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    until(site.started.exists, "the driver runs")
    guard, background = map(int, site.started.read_text().split())
    os.kill(owner.pid, 19)  # stopped, so that it can't tell either
    os.kill(guard, 9)
    owner.kill()
    owner.wait()
    assert os.path.exists(f"/proc/{background}")
    site.deliver()
    until(lambda: not carriers(f"RAYDP_WRAP_HOME={site.home}"), "nothing of the job lives")
    outcome = site.outcome()
    assert outcome is not None
    assert (outcome.state, outcome.reason) == (FAILED, Reason.JOB_LOST)
    assert "tree not proven empty: 1 processes were swept" in outcome.diagnostics
    assert len(site.reports()) == 2
    reap_orphans()
