"""Jobs from Python, for real: a background supervisor, guards, files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from programs.facts import environment, eventually
from supervised import end

from raydp_wrap.errors import (
    AlreadyDecidedError,
    JobFailedError,
    SupervisorError,
    UsageError,
    WaitTimeoutError,
)
from raydp_wrap.job import Capacity
from raydp_wrap.model import Reason, TerminalState
from raydp_wrap.request import Phase, RetryPolicy
from raydp_wrap.supervisor.background import ensure

if TYPE_CHECKING:
    from pathlib import Path

    from raydp_wrap import Client

SUBMIT = pytest.mark.requirement("jobs-4.2-submit")
WAIT = pytest.mark.requirement("jobs-4.2-wait")


@SUBMIT
@WAIT
def test_submitted_and_waited_for(client: Client) -> None:
    job = client.submit(["sh", "-c", "echo hello; exit 3"], name="greeter", tags={"team": "blue"})
    outcome = job.wait(30)
    assert (outcome.state, outcome.exit_code, outcome.submission_id) == (TerminalState.FAILED, 3, job.id)
    assert (job.name, job.exit_code, job.outcome, job.done()) == ("greeter", 3, outcome, True)
    assert (job.phase, job.status().submission.tags) == (Phase.FAILED, {"team": "blue"})
    with pytest.raises(JobFailedError, match="FAILED") as raised:
        job.result()
    assert raised.value.outcome == outcome
    assert client.submit(["true"]).result(30).state is TerminalState.FINISHED


@SUBMIT
def test_it_gets_its_submitter_s_environment(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "somewhere"
    place.mkdir()
    client.submit(["true"]).wait(30)  # the supervisor is there: what it has itself is another environment
    monkeypatch.chdir(place)
    monkeypatch.setenv("OF_SUBMITTER", "mine")
    before = os.umask(0o027)
    try:
        job = client.submit(
            "pwd; umask; echo $OF_SUBMITTER $OVER; ulimit -Sn; echo $RAYDP_WRAP_ATTEMPT",
            shell=True,
            env={"OVER": "over"},
        )
    finally:
        os.umask(before)
    assert job.name == "pwd;"
    assert job.wait(30).state is TerminalState.FINISHED
    soft = subprocess.run(["sh", "-c", "ulimit -Sn"], stdout=subprocess.PIPE, check=True).stdout
    said = b"".join(job.logs())
    assert said == os.fsencode(place) + b"\n0027\nmine over\n" + soft + b"1\n"


@SUBMIT
@pytest.mark.parametrize(
    ("argv", "name"),
    [(["/bin/echo", "x"], "echo"), ("  true && true", "true"), (" ", ""), (["/bin/"], "")],
)
def test_it_is_called_what_its_command_is_called(client: Client, argv: list[str] | str, name: str) -> None:
    job = client.submit(argv, shell=isinstance(argv, str), suspend=True)
    assert (job.name, client.job(job.id[:-1])) == (name, job)
    job.stop()


@SUBMIT
def test_the_same_again_is_the_same_job(client: Client) -> None:
    jobs = [client.submit(["true"], submission_id="nightly") for _ in range(2)]
    assert jobs[0] == jobs[1]
    assert hash(jobs[0]) == hash(jobs[1])
    assert jobs[0] != client.submit(["true"])
    assert jobs[0] != "nightly"
    with pytest.raises(UsageError, match="use another id"):
        client.submit(["false"], submission_id="nightly")


@SUBMIT
@pytest.mark.usefixtures("home")
def test_nonsense_is_refused_and_nothing_is_stored(client: Client) -> None:
    for argv, options in (
        ("a string", {}),
        (["a list"], {"shell": True}),
        ([], {}),
        (["x"], {"retry": -1}),
        (["x"], {"sinks": ["nonsense:"]}),
        (["x"], {"sinks": ["file:/nonexistent/x.json"]}),
        (["x"], {"after": ["nobody"]}),
        (["x"], {"slots": {"gpu": 1.0}}),
    ):
        with pytest.raises(UsageError):
            client.submit(argv, **options)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        client.submit(["x"], colour="red")  # type: ignore[call-arg]
    assert client.jobs() == []


@SUBMIT
@pytest.mark.usefixtures("home")
def test_a_supervisor_that_can_t_start_is_told_before_anything_is_stored(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with pytest.raises(SupervisorError, match="can't be started"):
        client.submit(["true"])
    assert client.jobs() == []


@SUBMIT
def test_sinks_are_told(client: Client, tmp_path: Path) -> None:
    job = client.submit(["true"], sinks=[f"file:{tmp_path}/told.json"])
    job.wait(30)
    eventually((tmp_path / "told.json").exists, "the sink is told")
    assert job.id in (tmp_path / "told.json").read_text()


@SUBMIT
@pytest.mark.usefixtures("home")
def test_found_by_id_prefix_name_and_place(client: Client) -> None:
    first = client.submit(["true"], submission_id="alpha-1", name="x", tags={"team": "blue"})
    second = client.submit(["true"], submission_id="alpha-2", name="y", suspend=True)
    third = client.submit(["true"], submission_id="beta-1", name="x", tags={"team": "red"}, suspend=True)
    assert [client.job(word) for word in ("alpha-1", "bet", "x", "@last", "@last-2")] == [
        first,
        third,
        third,
        third,
        first,
    ]
    with pytest.raises(UsageError, match=r"may be alpha-2, alpha-1: write more"):
        client.job("alp")
    with pytest.raises(UsageError, match="no job"):
        client.job("gamma")
    first.wait(30)
    assert client.jobs() == [third, second, first]
    assert client.jobs(phases=[Phase.SUSPENDED], limit=1) == [third]
    assert client.jobs(tags={"team": None}) == [third, first]
    assert client.jobs(name="y") == [second]
    for job in (second, third):
        job.stop()


@SUBMIT
def test_stopped_before_its_start_it_never_runs(client: Client, tmp_path: Path) -> None:
    job = client.submit(["touch", str(tmp_path / "ran")], suspend=True)
    assert job.stop(label="the test")
    outcome = job.wait(30)
    assert (outcome.state, outcome.reason) == (TerminalState.KILLED, Reason.STOP_REQUESTED)
    assert "the test" in outcome.diagnostics
    assert not job.stop()
    with pytest.raises(AlreadyDecidedError):
        job.suspend()
    assert not (tmp_path / "ran").exists()


@SUBMIT
def test_stopped_while_it_runs(client: Client) -> None:
    job = client.submit(["sh", "-c", "trap '' TERM; echo ready; while :; do read x; done"], grace=1000)
    assert b"".join(iter_until(job.logs(follow=True), b"ready\n")) == b"ready\n"
    assert job.stop()
    assert job.stop(grace=0)
    assert job.wait(30).state is TerminalState.KILLED


def iter_until(chunks, enough: bytes) -> list[bytes]:
    got: list[bytes] = []
    for chunk in chunks:
        got.append(chunk)
        if enough in b"".join(got):
            break
    chunks.close()
    return got


@SUBMIT
def test_suspended_and_resumed(client: Client) -> None:
    job = client.submit(["sh", "-c", "echo ready; test $RAYDP_WRAP_ATTEMPT = 2 || exec sleep 1000"])
    iter_until(job.logs(follow=True), b"ready\n")
    job.suspend()
    job.resume()
    assert job.result(30).attempt == 2
    with pytest.raises(AlreadyDecidedError):
        job.resume()


@SUBMIT
def test_retries_and_after_and_once_more(client: Client) -> None:
    script = "test $RAYDP_WRAP_ATTEMPT = 3"
    job = client.submit(["sh", "-c", script], retry=RetryPolicy(2, backoff_first=0.01))
    later = client.submit(["true"], after=[job])
    never = client.submit(["true"], after=[client.submit(["false"], retry=0, submission_id="bad")])
    assert later.wait(30).state is TerminalState.FINISHED
    assert job.wait(30).attempt == 3
    assert never.wait(30).state is TerminalState.FAILED
    again = never.retry()
    assert again != never
    assert again.wait(30).state is TerminalState.FINISHED


@SUBMIT
@pytest.mark.usefixtures("home")
def test_limits(client: Client) -> None:
    client.set_limits(Capacity(7, {"gpu": 2.0}))
    assert client.limits() == Capacity(7, {"gpu": 2.0})
    assert client.submit(["true"], slots={"gpu": 2.0}).wait(30).state is TerminalState.FINISHED


@SUBMIT
@pytest.mark.requirement("jobs-1.4-delete")
def test_deleted_with_its_output(client: Client) -> None:
    job = client.submit(["echo", "x"])
    waiting = client.submit(["sleep", "1000"])
    job.wait(30)
    with pytest.raises(UsageError, match="stop it first"):
        client.delete(waiting)
    assert b"".join(job.logs()) == b"x\n"
    client.delete(job.id)
    assert not list((client.home / "jobs").glob(f"{job.id}.*"))
    with pytest.raises(UsageError, match="deleted"):
        job.wait()
    with pytest.raises(UsageError, match="deleted"):
        job.logs()
    waiting.stop()
    waiting.wait(30)


@WAIT
def test_a_wait_may_have_a_limit(client: Client) -> None:
    job = client.submit(["sleep", "1000"])
    with pytest.raises(WaitTimeoutError):
        job.wait(0.01)
    with pytest.raises(WaitTimeoutError):
        job.result(0)
    job.stop()
    job.wait(30)


@WAIT
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_who_waits_hears_it_though_the_supervisor_ends_meanwhile(client: Client, home: Path, number: int) -> None:
    job = client.submit(["sh", "-c", "echo ready; read x < $0; exit 5", str(fifo(home))])
    iter_until(job.logs(follow=True), b"ready\n")
    heard: list[object] = []
    waiting = threading.Thread(target=lambda: heard.append(job.wait(60)))
    waiting.start()
    for _ in range(2):
        ensure(home).close()
        end(home, number)
    (home / "fifo").write_text("go\n")
    waiting.join(60)
    assert [outcome.exit_code for outcome in heard] == [5]  # type: ignore[attr-defined]


def fifo(home: Path) -> Path:
    os.mkfifo(home / "fifo")
    return home / "fifo"


@WAIT
def test_ctrl_c_is_let_through_and_the_job_goes_on(client: Client) -> None:
    job = client.submit(["sleep", "1000"])
    program = "import raydp_wrap, sys; job = raydp_wrap.Client().job(sys.argv[1]); print('up', flush=True); job.wait()"
    with subprocess.Popen(
        [sys.executable, "-c", program, job.id], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    ) as waiting:
        assert waiting.stdout is not None
        waiting.stdout.readline()
        eventually(lambda: in_poll(waiting.pid), "it waits")
        waiting.send_signal(signal.SIGINT)
        _, errors = waiting.communicate(timeout=30)
    assert b"KeyboardInterrupt" in errors
    assert not job.done()
    job.stop(grace=0)
    job.wait(30)


def in_poll(pid: int) -> bool:
    with open(f"/proc/{pid}/wchan", encoding="ascii") as file:
        return "poll" in file.read()
