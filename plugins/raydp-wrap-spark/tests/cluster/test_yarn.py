"""YARN, against a stand-in that answers in the shapes of Hadoop's documented REST interface: no real YARN runs here."""

from __future__ import annotations

import json

import pytest
from raydp_wrap.model import TerminalState

from raydp_wrap_spark.cluster.clock import Deadline
from raydp_wrap_spark.cluster.truth import TruthUnknownError
from raydp_wrap_spark.cluster.yarn import Yarn

APP = "application_1700000000000_0042"
PATH = f"/ws/v1/cluster/apps/{APP}"
LONG = 60.0
FINISHED, FAILED, KILLED = TerminalState.FINISHED, TerminalState.FAILED, TerminalState.KILLED
GOING = TerminalState.UNKNOWN


@pytest.fixture
def rm(stand_in):
    return stand_in()


def app(state, final, **more):
    return {
        "app": {
            "id": APP,
            "user": "ann",
            "name": "word count",
            "queue": "default",
            "state": state,
            "finalStatus": final,
            "progress": 100.0,
            "trackingUI": "History",
            "diagnostics": "why",
            "applicationType": "SPARK",
            **more,
        }
    }


def ask(*rms, **how):
    return Yarn([one if isinstance(one, str) else one.url for one in rms], **how).ask(APP, Deadline(LONG))


@pytest.mark.requirement("cluster-yarn-state")
@pytest.mark.parametrize(
    ("state", "final", "expected", "word"),
    [
        ("FINISHED", "SUCCEEDED", FINISHED, "SUCCEEDED"),
        ("FINISHED", "FAILED", FAILED, "FAILED"),
        ("FINISHED", "KILLED", KILLED, "KILLED"),
        ("FINISHED", "UNDEFINED", GOING, "UNDEFINED"),
        ("FINISHED", "ENDED", GOING, "ENDED"),
        ("FINISHED", None, GOING, "FINISHED"),
        ("FAILED", "FAILED", FAILED, "FAILED"),
        ("FAILED", "SUCCEEDED", FAILED, "FAILED"),
        ("KILLED", "KILLED", KILLED, "KILLED"),
        ("KILLED", "UNDEFINED", KILLED, "KILLED"),
        *((state, "UNDEFINED", GOING, state) for state in ("NEW", "NEW_SAVING", "SUBMITTED", "ACCEPTED", "RUNNING")),
        ("RUNNING", "SUCCEEDED", GOING, "RUNNING"),  # what it has announced, not how it ended
        (17, ["x"], GOING, ""),
    ],
)
def test_what_its_states_mean(rm, state, final, expected, word):
    rm.says("GET", PATH, (200, {}, app(state, final)))
    told = ask(rm)
    assert (told.state, told.word) == (expected, word)
    assert told.detail == ("" if expected is FINISHED else "why")


@pytest.mark.requirement("cluster-yarn-auth")
def test_who_asks(rm):
    rm.says("GET", PATH, (200, {}, app("RUNNING", "UNDEFINED")))
    ask(rm, user="ann b")
    ask(rm, user="ann", kerberos=True)
    assert [path for _, path, _, _ in rm.asked] == [f"{PATH}?user.name=ann%20b", PATH]


@pytest.mark.requirement("cluster-yarn-unknown")
@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ((404, {}, {"RemoteException": {"exception": "NotFoundException"}}), "doesn't know"),
        ((401, {"WWW-Authenticate": "Negotiate"}, b"<html>"), "Kerberos"),
        ((403, {}, b""), "does not permit"),
        ((500, {}, b"oops"), "status 500"),
        ((200, {}, b"<html>standby"), "JSON"),
        ((200, {}, {}), "something else"),
        ((200, {}, {"app": {"id": "application_1_1", "state": "FAILED"}}), "something else"),
        ((302, {"Location": "file:///etc/passwd"}, b""), "sends us on"),
        ((302, {"Location": PATH}, b""), "sends us on"),
    ],
)
def test_what_is_no_answer(rm, answer, why):
    rm.says("GET", PATH, answer)
    with pytest.raises(TruthUnknownError, match=why):
        ask(rm)


def test_a_strange_id_is_not_asked_for(rm):
    for strange in ("", "local-1", "application_1_1/../../x", "spark-application-1"):
        with pytest.raises(TruthUnknownError, match="no application"):
            Yarn([rm.url]).ask(strange, Deadline(LONG))
    assert not rm.asked


@pytest.mark.requirement("cluster-yarn-ha")
@pytest.mark.parametrize("how", ["307", "refresh", "dead", "html"])
def test_the_active_one_of_two_is_found(stand_in, how):
    standby, active = stand_in(), stand_in()
    active.says("GET", PATH, (200, {}, app("KILLED", "KILLED")))
    answers = {
        "307": (307, {"Location": f"{active.url}{PATH}"}, b"This is standby RM."),
        "refresh": (200, {"Refresh": f"3; url={active.url}{PATH}"}, b"This is standby RM."),
        "html": (200, {}, b"This is standby RM."),
    }
    if how in answers:
        standby.says("GET", PATH, answers[how])
    assert ask("http://127.0.0.1:1" if how == "dead" else standby, active).state is KILLED


@pytest.mark.requirement("cluster-yarn-stop")
def test_a_stop_asks_until_it_is_over(rm):
    going = (200, {}, app("RUNNING", "UNDEFINED"))
    rm.says("GET", PATH, going, going, (200, {}, app("KILLED", "KILLED")))
    rm.says("PUT", f"{PATH}/state", (202, {}, {"state": "RUNNING"}))
    assert Yarn([rm.url], user="ann").end(APP, Deadline(LONG)).state is KILLED
    _, path, body, headers = next(one for one in rm.asked if one[0] == "PUT")
    assert path == f"{PATH}/state?user.name=ann"
    assert json.loads(body) == {"state": "KILLED"}
    assert headers["Content-Type"] == "application/json"


@pytest.mark.requirement("cluster-yarn-stop")
def test_what_is_over_is_left_alone(rm):
    rm.says("GET", PATH, (200, {}, app("FINISHED", "SUCCEEDED")))
    assert Yarn([rm.url]).end(APP, Deadline(LONG)).state is FINISHED
    assert [one[0] for one in rm.asked] == ["GET"]


@pytest.mark.requirement("cluster-yarn-stop")
def test_one_that_goes_on_is_told(rm):
    rm.says("GET", PATH, (200, {}, app("RUNNING", "UNDEFINED")))
    rm.says("PUT", f"{PATH}/state", (202, {}, {"state": "RUNNING"}))
    with pytest.raises(TruthUnknownError, match="still says RUNNING"):
        Yarn([rm.url]).end(APP, Deadline(0.8))


@pytest.mark.requirement("cluster-yarn-auth")
@pytest.mark.parametrize(("status", "why"), [(401, "Kerberos"), (403, "does not permit that to ann")])
def test_a_stop_that_is_not_permitted(rm, status, why):
    rm.says("GET", PATH, (200, {}, app("RUNNING", "UNDEFINED")))
    rm.says("PUT", f"{PATH}/state", (status, {}, b""))
    with pytest.raises(TruthUnknownError, match=why):
        Yarn([rm.url], user="ann").end(APP, Deadline(LONG))
