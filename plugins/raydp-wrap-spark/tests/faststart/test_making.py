from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from raydp_wrap.model import Event, EventKind, Outcome, Submission, TerminalState, Usage

from raydp_wrap_spark.faststart import making
from raydp_wrap_spark.faststart.archive import equip

MAIN = "org.apache.spark.deploy.SparkSubmit"


@pytest.fixture
def begin(jvm, jars, user):
    """Build a command whose JVM's training run has TRAIN; MORE are options."""

    def build(train="", more=(), settings=None, env=None):
        given = [jvm(train), "-cp", f"{jars}/*", *more, MAIN, "app.py"]
        return equip(given, MAIN, {**user, **(env or {})}, settings or {})

    return build


def told(state=TerminalState.FINISHED, signal_number=None, kind=EventKind.TERMINAL):
    outcome = Outcome("i", "spark-submit", 1, state, 0, signal_number, None, "", (), 0.0, 0.0, Usage())
    return Event(kind, Submission("i", "spark-submit", 0.0), 1, 0.0, outcome if kind is EventKind.TERMINAL else None)


def names(cache):
    return sorted(path.suffix or path.name for path in cache.directory.iterdir())


@pytest.mark.requirement("start-makes")
def test_a_success_makes_the_archive_that_the_next_run_uses(begin, cache, settled):
    assert begin()[1] == "-cp"
    making.after(told())
    settled()
    assert names(cache) == [".json", ".jvm", "lock"]
    assert begin()[1] == "-Xlog:cds*=off"
    (entry,) = cache.entries()
    assert entry.about["major"] == 17


@pytest.mark.requirement("start-makes")
@pytest.mark.parametrize(
    "event",
    [
        told(TerminalState.FAILED),
        told(TerminalState.KILLED),
        told(kind=EventKind.SUBMITTED),
        told(kind=EventKind.ATTEMPT_STARTED),
    ],
)
def test_nothing_else_does(begin, cache, event):
    begin()
    making.after(event)
    assert names(cache) == []


def test_the_end_of_a_run_that_was_not_built_here_is_nothing(cache):
    making.after(told())
    assert names(cache) == []


@pytest.mark.requirement("start-off")
def test_switched_off_nothing_is_made(begin, cache):
    begin(env={"RAYDP_WRAP_JVM_CACHE": "off"})
    making.after(told())
    assert names(cache) == []


@pytest.mark.requirement("start-background")
def test_the_maker_has_nothing_of_ours(begin, cache, settled, private, monkeypatch):
    monkeypatch.setenv("OF_OURS", "x")
    begin(env={"SECRET": "hush", "JAVA_TOOL_OPTIONS": "-Dp=hush-hush"}, more=("-Dpassword=hush",))
    making.after(told())
    settled()
    log = (private / "log").read_text()
    assert "hush" not in log.replace("JAVA_TOOL_OPTIONS=-Dp=hush-hush", "")
    assert "OF_OURS" not in log
    assert "pipe:" not in log
    assert os.getcwd() not in log.splitlines()
    assert not cache.making.exists()
    assert "hush" not in "".join(path.read_text() for path in cache.directory.iterdir())


@pytest.mark.requirement("start-background")
def test_it_stands_back(begin, settled, private):
    begin(f"cat /proc/self/stat >> {private}/stat;")
    making.after(told())
    settled()
    fields = (private / "stat").read_text().rpartition(")")[2].split()
    assert fields[16] == "19"
    assert fields[38] == str(os.SCHED_IDLE)


@pytest.mark.requirement("start-one-maker")
def test_never_two_at_once(begin, cache, settled, private):
    os.mkfifo(private / "gate")
    train = f"echo >> {private}/trained; cat {private}/gate;"
    begin(train)
    making.after(told())
    begin(train)
    making.after(told())
    begin(train, more=("-Xint",))  # another key
    making.after(told())
    assert cache.lock() is None
    Path(private, "gate").write_text("")
    settled()
    assert (private / "trained").read_text() == "\n"
    assert len(cache.entries()) == 1


@pytest.mark.requirement("start-backoff")
@pytest.mark.parametrize(
    ("train", "more", "why"),
    [
        ("echo no such luck >&2; exit 3;", (), "the training run ended with 3: no such luck"),
        ("", ("-XX:+UseNoSuch",), "Unrecognized option"),
        ('touch "${word#*=}"; exit 0;', (), "the check ended with 1"),
        ("exit 0;", (), "No such file"),
    ],
)
def test_a_failure_is_noted_and_not_repeated_at_once(begin, cache, settled, private, train, more, why):
    begin(train, more)
    making.after(told())
    settled()
    assert names(cache) == [".tried", "lock"]
    assert why in next(cache.failures())[1]
    size = (private / "log").stat().st_size
    begin(train, more)
    making.after(told())
    settled()
    assert (private / "log").stat().st_size == size


@pytest.mark.requirement("start-size")
def test_one_that_is_too_large_is_not_kept(begin, cache, settled):
    begin(settings={"jvm.cache.size": "3"})
    making.after(told())
    settled()
    assert names(cache) == [".tried", "lock"]
    assert "more than jvm.cache.size" in next(cache.failures())[1]


@pytest.mark.requirement("start-only-speed")
def test_a_killed_maker_leaves_what_the_next_one_removes(begin, cache, settled, private):
    os.mkfifo(private / "gate")
    begin(f"echo $PPID > {private}/maker; echo > {private}/gate; sleep 60;")
    making.after(told())
    (private / "gate").read_text()
    os.kill(int((private / "maker").read_text()), signal.SIGKILL)
    settled()
    assert cache.making.is_dir()
    assert not cache.entries()
    begin(more=("-Xint",))
    making.after(told())
    settled()
    assert not cache.making.exists()
    assert len(cache.entries()) == 1


@pytest.mark.requirement("start-only-speed")
def test_its_time_is_limited(begin, cache, settled, monkeypatch):
    monkeypatch.setattr(making, "DEADLINE", 0.5)
    begin("sleep 60;")
    making.after(told())
    settled()
    assert not cache.entries()
    assert next(cache.failures())[1] == "it did not finish"


@pytest.mark.requirement("start-only-speed")
@pytest.mark.parametrize(("number", "dropped"), [(signal.SIGSEGV, True), (signal.SIGABRT, True), (None, False)])
def test_an_archive_that_a_jvm_crashed_with_is_dropped(begin, cache, settled, number, dropped):
    begin()
    making.after(told())
    settled()
    begin()
    making.after(told(TerminalState.FAILED, number))
    assert (cache.entries() == []) is dropped


@pytest.mark.requirement("start-no-crash-report")
def test_a_report_of_a_crash_by_the_archive_does_not_stay_and_any_other_does(
    begin, cache, settled, private, monkeypatch
):
    begin()
    making.after(told())
    settled()
    (entry,) = cache.entries()
    where = private / "where"
    where.mkdir()
    monkeypatch.chdir(where)
    begin()
    by_it = "# A fatal error\nError accessing class data sharing archive. Mapped file inaccessible\n"
    (where / "hs_err_pid1.log").write_text(f"{by_it}Command Line: -XX:SharedArchiveFile={entry.path}\n")
    (where / "hs_err_pid2.log").write_text(f"# A fatal error\nCommand Line: -XX:SharedArchiveFile={entry.path}\n")
    (where / "hs_err_pid3.log").write_text(f"{by_it}Command Line: -XX:SharedArchiveFile=/the/users/own\n")
    for number in (1, 2):
        (where / f"replay_pid{number}.log").touch()
    monkeypatch.chdir(private)
    making.after(told(TerminalState.FAILED, signal.SIGBUS))
    left = ["hs_err_pid2.log", "hs_err_pid3.log", "replay_pid2.log"]
    assert sorted(file.name for file in where.iterdir()) == left


@pytest.mark.requirement("start-only-speed")
def test_a_cache_that_can_not_be_made_changes_nothing(begin, private):
    (private / "file").touch()
    begin(env={"XDG_CACHE_HOME": str(private / "file")})
    making.after(told())
    assert (private / "file").stat().st_size == 0


def test_the_hook_is_quick(begin, settled, private):
    os.mkfifo(private / "gate")
    begin(f"cat {private}/gate;")
    before = time.monotonic()
    making.after(told())
    assert time.monotonic() - before < 2
    (private / "gate").write_text("")
    settled()
