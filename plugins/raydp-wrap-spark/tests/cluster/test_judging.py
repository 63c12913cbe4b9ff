from __future__ import annotations

import re

import pytest
from raydp_wrap.errors import RaydpWrapError
from raydp_wrap.model import Cause, Exit, ExitRecord, Rank, Submission, TerminalState, Usage

from raydp_wrap_spark.cluster.judging import evidence, stop_remote
from raydp_wrap_spark.cluster.master_confs import keep, take
from raydp_wrap_spark.cluster.watch import KIND

DRIVER = "driver-20261122105202-0000"
APP = "application_1700000000000_0042"
STATUS, KILL = f"/v1/submissions/status/{DRIVER}", f"/v1/submissions/kill/{DRIVER}"
YARN_APP = f"/ws/v1/cluster/apps/{APP}"
SUBMISSION = Submission("s", "n", 0.0)
FINISHED, FAILED, KILLED = TerminalState.FINISHED, TerminalState.FAILED, TerminalState.KILLED
RECORD = ExitRecord("i", 1, 2, Exit(0), Cause.NONE, None, 1.0, 2.0, 1.0, Usage(), tree_empty=True)


@pytest.fixture
def server(stand_in):
    return stand_in()


def standalone(server, driver=DRIVER, state="", **more):
    place = {"masters": [server.address] if server else ["127.0.0.1:1"], "rest": True}
    return {"kind": KIND, "driver": driver, "state": state, "place": place, "timeout": 5.0, "waits": False, **more}


def yarn(server, app_id=APP, mode="cluster", **more):
    return {
        "kind": "launcher",
        "app_id": app_id,
        "cluster": {"manager": "yarn", "mode": mode, "rm": [server.url], **more},
    }


def status(word):
    return (200, {}, {"driverState": word, "submissionId": DRIVER, "success": True})


def yarn_app(state, final):
    return (200, {}, {"app": {"id": APP, "state": state, "finalStatus": final, "diagnostics": "its words"}})


def found(saved, record=RECORD):
    [piece] = evidence(SUBMISSION, record, saved)
    return piece


@pytest.mark.requirement("cluster-left-behind")
@pytest.mark.parametrize("word", ["RUNNING", "SUBMITTED", "RELAUNCHING", "UNKNOWN"])
def test_a_driver_that_was_left_behind_decides_nothing(server, word):
    server.says("GET", STATUS, status(word))
    piece = found(standalone(server))
    assert (piece.rank, piece.state) == (Rank.CONTEXT, TerminalState.UNKNOWN)
    assert f"{DRIVER} was left behind as {word}; nobody has waited" in piece.observation
    assert "the submitter was to wait" in found(standalone(server, waits=True)).observation


@pytest.mark.requirement("cluster-standalone-state")
@pytest.mark.parametrize(
    ("word", "state"), [("FINISHED", FINISHED), ("FAILED", FAILED), ("ERROR", FAILED), ("KILLED", KILLED)]
)
def test_the_masters_word_decides(server, word, state):
    server.says("GET", STATUS, status(word))
    piece = found(standalone(server, state="RUNNING"))
    assert (piece.rank, piece.state) == (Rank.CLUSTER, state)


def test_what_the_submitter_was_told_counts_where_the_master_can_not_be_asked():
    for word, state in (("FAILED", FAILED), ("ERROR", FAILED), ("KILLED", KILLED), ("FINISHED", FINISHED)):
        assert found(standalone(None, state=word)).state is state
    piece = found(standalone(None, state="RUNNING"))
    assert (piece.rank, "can't be asked now" in piece.observation) == (Rank.CONTEXT, True)


def test_a_web_ui_is_not_asked_about_a_failure_that_is_known(server):
    saved = standalone(server, state="FAILED", place={"masters": ["127.0.0.1:1"], "ui": server.url})
    assert found(saved).state is FAILED
    assert not server.asked


def test_a_finish_is_verified(server):
    server.says("GET", STATUS, status("FAILED"))
    assert found(standalone(server, state="FINISHED")).state is FAILED
    assert len(server.asked) == 1


@pytest.mark.requirement("cluster-unknown")
def test_a_driver_that_was_never_named(server):
    piece = found(standalone(server, driver=None))
    assert (piece.rank, piece.observation.startswith("the submitter has named no driver")) == (Rank.CONTEXT, True)
    stop_remote(SUBMISSION, RECORD, standalone(server, driver=None))
    assert not server.asked


@pytest.mark.requirement("cluster-stop")
def test_a_stop_ends_the_driver_and_is_the_evidence(server):
    server.says("POST", KILL, (200, {}, {"success": True, "submissionId": DRIVER}))
    server.says("GET", STATUS, status("KILLED"), (500, {}, b""))
    stop_remote(SUBMISSION, RECORD, standalone(server))
    assert found(standalone(server)).state is KILLED
    assert [one[0] for one in server.asked] == ["POST", "GET"]  # it was told once


@pytest.mark.requirement("cluster-stop")
def test_a_driver_that_had_ended_when_it_was_to_be_killed(tmp_path, executable):
    says = f"#!/bin/sh\necho 'Driver {DRIVER} has already finished or does not exist' >&2; exit 255\n"
    java = executable(tmp_path / "java", says)
    saved = standalone(None, place={"masters": ["127.0.0.1:1"], "client": {"java": str(java)}})
    stop_remote(SUBMISSION, RECORD, saved)
    piece = found(saved)
    assert (piece.rank, "had ended when it was to be killed" in piece.observation) == (Rank.CONTEXT, True)


# As Spark's client where the master wants another secret.
REFUSED = """#!/bin/sh
printf '%s\\n' "$@" >"$0.words"
while [ $# -gt 0 ]; do
    if [ "$1" = --properties-file ]; then cat "$2" >"$0.file"; stat -L -c %a "$2" >"$0.mode"; fi
    shift
done
echo 'Exception in thread main: refused' >&2
exit 1
"""


@pytest.fixture
def refused(tmp_path, executable):
    """A driver that Spark's client can't kill, and what that client was given."""
    java = executable(tmp_path / "java", REFUSED)
    (tmp_path / "p").write_text("spark.a b\\")
    properties = ["--properties-file", str(tmp_path / "p")]
    confs = {"spark.authenticate": "true"}
    client = {"java": str(java), "properties": properties, "confs": confs, "withheld": ["spark.authenticate.secret"]}
    place = {"masters": ["127.0.0.1:1"], "client": client}
    return standalone(None, state="RUNNING", place=place), lambda what: (tmp_path / f"java.{what}").read_text()


@pytest.mark.requirement("cluster-confs")
def test_a_stop_has_the_secrets_of_the_command_line(refused):
    saved, given = refused
    keep(SUBMISSION.submission_id, {"spark.authenticate.secret": "a =b"})
    with pytest.raises(RaydpWrapError, match=r"main: refused$"):
        stop_remote(SUBMISSION, RECORD, saved)
    words = given("words")
    assert "--conf\nspark.authenticate=true\n" in words
    assert "a =b" not in words
    assert "--properties-file\n/proc/self/fd/" in words
    assert given("file") == "spark.a b\\\n\nspark.authenticate.secret=a\\u0020\\u003db\n"
    assert given("mode") == "600\n"
    assert take(SUBMISSION.submission_id) == {}


@pytest.mark.requirement("cluster-confs")
def test_without_the_owner_a_stop_says_what_it_lacks(refused):
    saved, given = refused
    lacks = "main: refused; gone with the process that had it from its command line: spark.authenticate.secret"
    with pytest.raises(RaydpWrapError, match=lacks):
        stop_remote(SUBMISSION, RECORD, saved)
    assert "--conf\nspark.authenticate=true\n" in given("words")
    assert given("file") == "spark.a b\\"
    assert re.search(f"left behind as RUNNING .*; it could not be ended: .*{lacks}", found(saved).observation)
    assert "could not be ended" not in found(saved).observation


def test_secrets_do_not_outlive_the_evidence(server):
    keep(SUBMISSION.submission_id, {"spark.authenticate.secret": "x"})
    found(standalone(server, driver=None))
    assert take(SUBMISSION.submission_id) == {}


@pytest.mark.requirement("cluster-stop")
def test_a_stop_that_fails_says_what_may_still_run(server):
    server.says("POST", KILL, (500, {}, b""))
    with pytest.raises(RaydpWrapError, match=f"the cluster's driver {DRIVER} may still run, end it by hand: "):
        stop_remote(SUBMISSION, RECORD, standalone(server, timeout=1.0))
    with pytest.raises(RaydpWrapError, match=f"the cluster's application {APP} may still run"):
        stop_remote(SUBMISSION, RECORD, yarn(server, timeout=1.0))


def test_a_timeout_of_0_leaves_it_alone(server):
    server.says("GET", STATUS, status("RUNNING"))
    stop_remote(SUBMISSION, RECORD, standalone(server, timeout=0.0))
    assert not server.asked
    assert f"{DRIVER} was left behind as RUNNING" in found(standalone(server)).observation


def test_yarn(server):
    server.says("GET", YARN_APP, yarn_app("FINISHED", "FAILED"))
    piece = found(yarn(server))
    assert (piece.rank, piece.state, piece.observation) == (Rank.CLUSTER, FAILED, "FAILED on the cluster: its words")
    server.says("GET", YARN_APP, yarn_app("RUNNING", "UNDEFINED"))
    assert found(yarn(server)).rank is Rank.CONTEXT
    server.says("GET", YARN_APP, (404, {}, b"{}"))
    assert found(yarn(server)).observation.startswith(f"it is not known how {APP} ended: ")
    assert "id is not known" in found(yarn(server, app_id=None)).observation


@pytest.mark.requirement("cluster-yarn-stop")
def test_yarn_is_stopped(server):
    server.says("GET", YARN_APP, yarn_app("RUNNING", "UNDEFINED"), yarn_app("KILLED", "KILLED"), (500, {}, b""))
    server.says("PUT", f"{YARN_APP}/state", (202, {}, {"state": "RUNNING"}))
    stop_remote(SUBMISSION, RECORD, yarn(server))
    assert found(yarn(server)).state is KILLED


@pytest.mark.requirement("cluster-yarn-unheard")
@pytest.mark.parametrize("more", [{"kind": "yarn"}, {"state": "CONNECTED"}])
def test_one_on_yarn_that_has_no_name_may_still_run(server, more):
    saved = {**yarn(server, app_id=None), **more}
    with pytest.raises(RaydpWrapError, match="YARN was not asked to end it and it may still run"):
        stop_remote(SUBMISSION, RECORD, saved)
    assert "id is not known" in found(saved).observation
    stop_remote(SUBMISSION, RECORD, {**saved, "cluster": {**saved["cluster"], "timeout": 0.0}})
    stop_remote(SUBMISSION, RECORD, yarn(server, app_id=None))  # its driver has not called yet
    assert not server.asked


@pytest.mark.parametrize(
    "saved",
    [
        {},
        {"kind": "launcher", "app_id": "local-1"},
        {"kind": "launcher", "cluster": None},
        {"kind": "launcher", "cluster": {"manager": "kubernetes"}},
    ],
)
def test_who_has_no_cluster_to_ask(saved):
    assert list(evidence(SUBMISSION, RECORD, saved)) == []
    stop_remote(SUBMISSION, RECORD, saved)
