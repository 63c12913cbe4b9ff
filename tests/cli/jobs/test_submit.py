"""raydp-wrap jobs submit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from programs.facts import eventually

from raydp_wrap import Client
from raydp_wrap.model import Reason
from raydp_wrap.request import Condition, Dependency, FailureRule, Preparation, Request, RetryPolicy, RuleAction

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cli.jobs.conftest import Jobs, Screen

pytestmark = pytest.mark.requirement("jobs-4.1-submit")


def request_of(job: str) -> Request:
    with Client() as client:
        return client.job(job).status().request


def test_an_id_and_nothing_else_where_no_person_looks(jobs: Jobs) -> None:
    said = jobs("submit", "--", "true")
    assert (said.code, len(said.lines), said.err) == (0, 1, "")
    assert jobs("wait", "-q", said.lines[0]).code == 0


def test_every_option_is_a_field(jobs: Jobs, tmp_path: Path) -> None:
    policy = tmp_path / "policy.json"
    policy.write_text('{"rules": [{"action": "FailJob", "onExitCodes": {"values": [42]}}]}')
    first = jobs.submit("--suspend", "--name", "first", "--", "true")
    jobs("limits", "--slot", "gpu=2")
    words = (
        f"--name all --id every-option --cwd {tmp_path} --env A=1 --tag team=blue --metadata note=x --grace 3s"
        " --stop-signal INT --active-deadline 1h --attempt-deadline 10m --start-timeout 30s --backoff-limit 4"
        f" --backoff 1s --backoff-cap 1m --retry-on 52,OutOfMemory --failure-policy {policy} --priority 7 --cpus 0.5"
        f" --memory 2m --slot gpu=1 --after first --after {first}:any --env-key key --setup sh|-c|true"
        " --verify test|-e|x --cleanup true --setup-timeout 5s --ttl-after-finished 1d --suspend --split-logs"
        f" --log-limit 1m --backend local --sink file:{tmp_path}/sink"
    )
    arguments = [word.replace("|", " ") for word in words.split()]
    found = jobs.submit(*arguments, "--", "sh", "-c", "exit 42")
    assert found == "every-option"
    rules = (
        FailureRule(RuleAction.FAIL, (42,)),
        FailureRule(RuleAction.IGNORE, (52,)),
        FailureRule(RuleAction.IGNORE, reasons=(Reason.OUT_OF_MEMORY,)),
    )
    assert request_of(found) == Request(
        argv=("sh", "-c", "exit 42"),
        name="all",
        cwd=str(tmp_path),
        env={"A": "1"},
        sinks=(f"file:{tmp_path}/sink",),
        tags={"team": "blue"},
        metadata={"note": "x"},
        grace=3.0,
        stop_signal=signal.SIGINT,
        active_deadline=3600.0,
        attempt_deadline=600.0,
        start_timeout=30.0,
        retry=RetryPolicy(4, 1.0, 60.0, RetryPolicy().jitter, rules),
        priority=7,
        cpus=0.5,
        memory=2 << 20,
        slots={"gpu": 1.0},
        after=(Dependency(first), Dependency(first, Condition.ANY)),
        preparation=Preparation("key", ("sh", "-c", "true"), ("test", "-e", "x"), ("true",), 5.0),
        ttl_after_finished=86400.0,
        suspend=True,
        split_output=True,
        log_limit=1 << 20,
    )
    jobs("stop", found, first)


def test_what_is_not_said_is_as_it_is_anyway(jobs: Jobs) -> None:
    assert request_of(jobs.submit("--", "true")) == Request(("true",), cwd=os.getcwd())


def test_a_shell_line(jobs: Jobs) -> None:
    found = jobs.submit("--shell", "echo one && exit 3")
    assert jobs("wait", "-q", found).code == 3
    assert jobs("logs", found).out == "one\n"
    assert request_of(found).shell


def test_the_same_again_is_the_same_job(jobs: Jobs) -> None:
    assert [jobs.submit("--id", "same", "--", "true") for _ in range(2)] == ["same", "same"]
    assert "another one" in jobs.refused("submit", "--id", "same", "--", "false")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "no command"),
        (["--", ""], "no command"),
        (["--shell", "true", "--", "true"], "give one of them"),
        (["--memory", "much", "--", "true"], "not a size"),
        (["--slot", "gpu", "--", "true"], "not NAME=NUMBER"),
        (["--slot", "unheard=1", "--", "true"], "limits --slot unheard=N"),
        (["--tag", "blue", "--", "true"], "not NAME=VALUE"),
        (["--grace", "soon", "--", "true"], "not a duration"),
        (["--active-deadline", "0", "--", "true"], "more than 0"),
        (["--stop-signal", "NONE", "--", "true"], "not a signal"),
        (["--backoff-limit", "-1", "--", "true"], "backoff limit"),
        (["--retry-on", "0", "--", "true"], "no failure's exit code"),
        (["--failure-policy", "/nonexistent", "--", "true"], "can't be read"),
        (["--cwd", "/nonexistent", "--", "true"], "no directory"),
        (["--cpus", "100000", "--", "true"], "ask for less"),
        (["--memory", "900t", "--", "true"], "ask for less"),
        (["--backend", "moon", "--", "true"], "no backend 'moon'"),
        (["--sink", "moon:x", "--", "true"], "moon"),
        (["--after", "nonexistent", "--", "true"], "no job 'nonexistent'"),
        (["--setup", "true", "--", "true"], "--env-key"),
        (["--env-key", "k", "--setup", "'", "--", "true"], "quotes"),
        (["--id", "../x", "--", "true"], "submission id"),
        (["--unheard-of", "--", "true"], "--unheard-of"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_stored(jobs: Jobs, words: list[str], says: str) -> None:
    before = jobs("list", "-o", "name", "--limit", "0").lines
    assert says in jobs.refused("submit", *words)
    assert jobs("list", "-o", "name", "--limit", "0").lines == before


def test_followed_byte_for_byte_to_its_own_code(jobs: Jobs) -> None:
    script = r"printf 'a\377\033[2J\r\n'; printf problem >&2; exit 52"
    said = jobs("submit", "--follow", "--split-logs", "--", "sh", "-c", script)
    assert (said.code, said.raw, said.err) == (52, b"a\xff\x1b[2J\r\n", "problem")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--", "true"], 0),
        (["--", "sh", "-c", "kill -SEGV $$"], 139),
        (["--", "/nonexistent"], 127),
        (["--", "/etc"], 126),
        (["--active-deadline", "100ms", "--", "sleep", "1000"], 124),
        (["--retry-on", "9", "--backoff", "10ms", "--", "sh", "-c", "exit $((10 - RAYDP_WRAP_ATTEMPT))"], 8),
    ],
)
def test_exit_codes_as_of_run(jobs: Jobs, words: list[str], code: int) -> None:
    assert jobs("submit", "-f", *words).code == code


@pytest.mark.requirement("jobs-4.1-follow-forgotten")
def test_followed_though_it_is_forgotten_at_once(jobs: Jobs) -> None:
    for _ in range(5):
        said = jobs("submit", "-f", "--ttl-after-finished", "0", "--", "sh", "-c", "echo out; exit 3")
        assert (said.code, said.out, said.err) == (3, "out\n", "")


@pytest.mark.requirement("jobs-4.1-follow-forgotten")
@pytest.mark.parametrize("as_json", [False, True])
def test_a_reader_may_be_slower_than_the_job_is_forgotten(jobs: Jobs, *, as_json: bool) -> None:
    found = f"slowly-read-{as_json}"
    script = "head -c 1000000 /dev/zero; exit 3"
    words = ["--id", found, "--ttl-after-finished", "0", *(["--json"] if as_json else []), "--", "sh", "-c", script]
    process = jobs.start("submit", "-f", *words)
    assert process.stdout is not None
    assert process.stdout.read(1) == b"\0"
    eventually(lambda: jobs("status", found).code == 125, "it is forgotten")
    rest = process.stdout.read()
    assert (rest[:999_999], process.wait(30)) == (bytes(999_999), 3)
    assert not as_json or json.loads(rest[999_999:])["exit_code"] == 3


def test_followed_as_json_at_the_end(jobs: Jobs) -> None:
    said = jobs("submit", "-f", "--json", "--", "sh", "-c", "printf out; exit 3")
    document = json.loads(said.lines[-1])
    assert (said.code, said.lines[0], document["phase"], document["exit_code"]) == (3, "out", "FAILED", 3)


def test_ctrl_c_leaves_it_with_a_hint(jobs: Jobs, screen: Callable[..., Screen]) -> None:
    one = screen("submit", "-f", "--id", "left", "--", "sh", "-c", "echo begun; exec sleep 1000")
    one.until("begun")
    one.type("\x03")
    assert one.end() == -signal.SIGINT
    assert "job left goes on" in one.seen
    assert "'raydp-wrap jobs stop left' stops it" in one.seen
    assert jobs.phase("left") == "RUNNING"
    jobs("stop", "--grace", "0", "--wait", "left")


def test_ctrl_c_stops_it_where_that_is_asked_for(jobs: Jobs, screen: Callable[..., Screen]) -> None:
    one = screen(
        "submit", "-f", "--stop-on-interrupt", "--id", "stopped", "--", "sh", "-c", "echo begun; exec sleep 1000"
    )
    one.until("begun")
    one.type("\x03")
    assert one.end() == 143
    assert jobs.phase("stopped") == "KILLED"


def test_a_reader_that_leaves_leaves_the_job(jobs: Jobs) -> None:
    process = jobs.start("submit", "-f", "--id", "endless", "--shell", "while echo y; do sleep 0.02; done")
    assert process.stdout is not None
    assert process.stdout.read(2) == b"y\n"
    process.stdout.close()
    assert process.wait(30) == 141
    assert jobs.phase("endless") == "RUNNING"
    jobs("stop", "--grace", "0", "--wait", "endless")


@pytest.mark.parametrize("follow", [False, True])
def test_a_stdout_that_is_full_hides_no_job(jobs: Jobs, *, follow: bool) -> None:
    found = f"unprinted-{follow}"
    words = ["submit", *(["-f"] if follow else []), "--id", found, "--", "echo", "x"]
    with open("/dev/full", "wb") as full:
        process = jobs.start(*words, stdout=full)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, found.encode() in err, b"No space left" in err) == (125, True, True)
    assert jobs("wait", "-q", found).code == 0


def test_without_a_stdout_nothing_is_stored(jobs: Jobs) -> None:
    command = f"exec {sys.executable} -m raydp_wrap jobs submit --id unheard -- true >&-"
    done = subprocess.run(["sh", "-c", command], capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (125, b"raydp-wrap: nothing could be printed: stdout is closed.\n")
    assert "no job" in jobs.refused("status", "unheard")


def test_hints_for_a_person(screen: Callable[..., Screen]) -> None:
    one = screen("submit", "--id", "hinted", "--", "true")
    assert one.end() == 0
    lines = one.seen.split("\r\n")
    assert lines[0] == "hinted"
    assert [line.split("  ")[1] for line in lines[1:4]] == [
        "raydp-wrap jobs logs -f hinted",
        "raydp-wrap jobs status hinted",
        "raydp-wrap jobs stop hinted",
    ]
