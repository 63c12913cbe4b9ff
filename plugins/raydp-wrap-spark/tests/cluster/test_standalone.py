"""Masters in the shapes that Spark 4.3's answered in; test_real_cluster.py has real ones."""

from __future__ import annotations

import time

import pytest
from raydp_wrap.model import TerminalState

from raydp_wrap_spark.cluster.clock import Deadline
from raydp_wrap_spark.cluster.place import Place
from raydp_wrap_spark.cluster.standalone import Standalone
from raydp_wrap_spark.cluster.truth import TruthUnknownError

DRIVER = "driver-20261122105202-0000"
STATUS, KILL = f"/v1/submissions/status/{DRIVER}", f"/v1/submissions/kill/{DRIVER}"
NOBODY = "127.0.0.1:1"
LONG = 60.0
FINISHED, FAILED, KILLED = TerminalState.FINISHED, TerminalState.FAILED, TerminalState.KILLED
GOING = TerminalState.UNKNOWN


@pytest.fixture
def master(stand_in):
    return stand_in()


def status(word, **more):
    return (200, {}, {"driverState": word, "submissionId": DRIVER, "success": True, **more})


STANDBY = (200, {}, {"success": False, "submissionId": DRIVER, "message": "Current state is not alive: STANDBY"})
UNKNOWN = (200, {}, {"success": False, "submissionId": DRIVER})


def rest(*masters):
    return Standalone(Place([one if isinstance(one, str) else one.address for one in masters], rest=True))


def by_ui(ui, *masters, named=True):
    return Standalone(Place(list(masters), ui=ui.url) if named else Place(list(masters), uis=[ui.address]))


@pytest.mark.requirement("cluster-standalone-state")
@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("FINISHED", FINISHED),
        ("FAILED", FAILED),
        ("ERROR", FAILED),
        ("KILLED", KILLED),
        *((word, GOING) for word in ("SUBMITTED", "RUNNING", "RELAUNCHING", "UNKNOWN", "", "finished", None, 7)),
    ],
)
def test_what_its_states_mean(master, word, state):
    master.says("GET", STATUS, status(word, message="Exception from the cluster"))
    told = rest(master).ask(DRIVER, Deadline(LONG))
    assert (told.state, told.detail) == (state, "Exception from the cluster")
    ui = {
        "url": "spark://a:7077",
        "activedrivers": [7],
        "completeddrivers": [{"id": "x"}, {"id": DRIVER, "state": word}],
    }
    master.says("GET", "/json/", (200, {}, ui))
    assert by_ui(master, "a:7077").ask(DRIVER, Deadline(LONG)).state is state


@pytest.mark.requirement("cluster-standalone-ha")
@pytest.mark.parametrize("first", ["dead", "standby", "garbage"])
def test_the_master_in_charge_is_found(stand_in, first):
    other, master = stand_in(), stand_in()
    other.says("GET", STATUS, STANDBY if first == "standby" else (200, {}, b"garbage"))
    master.says("GET", STATUS, status("KILLED"))
    assert rest(NOBODY if first == "dead" else other, master).ask(DRIVER, Deadline(LONG)).state is KILLED


@pytest.mark.requirement("cluster-unknown")
@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (UNKNOWN, "doesn't know"),
        (STANDBY, "not in charge"),
        (status("FAILED", submissionId="driver-other"), "doesn't know"),
        (status("FAILED", success="yes"), "doesn't know"),
        ((500, {}, b""), "status 500"),
    ],
)
def test_what_a_gateway_can_not_say(master, answer, why):
    master.says("GET", STATUS, answer)
    with pytest.raises(TruthUnknownError, match=why):
        rest(master).ask(DRIVER, Deadline(LONG))


def test_no_master_at_all():
    for place in (Place([]), Place([], rest=True)):
        with pytest.raises(TruthUnknownError):
            Standalone(place).ask(DRIVER, Deadline(LONG))


@pytest.mark.requirement("cluster-ui-proven")
@pytest.mark.parametrize(
    ("masters", "named", "theirs"),
    [
        (["a:7077"], True, True),
        (["b:7077", "a:7077"], True, True),
        (["alias:7077"], True, True),  # the user says it is theirs, and the port is
        (["alias:7078"], True, False),
        (["127.0.0.1:7077"], False, True),  # asked on the master's own host
        (["b:7077"], False, False),
        (["127.0.0.1:7078"], False, False),
    ],
)
def test_a_web_ui_has_to_prove_whose_it_is(master, masters, named, theirs):
    found = {"url": "spark://a:7077", "activedrivers": [], "completeddrivers": [{"id": DRIVER, "state": "FAILED"}]}
    master.says("GET", "/json/", (200, {}, found))
    if theirs:
        assert by_ui(master, *masters, named=named).ask(DRIVER, Deadline(LONG)).state is FAILED
    else:
        with pytest.raises(TruthUnknownError, match="another master's"):
            by_ui(master, *masters, named=named).ask(DRIVER, Deadline(LONG))


def test_a_driver_the_web_ui_does_not_list(master):
    master.says("GET", "/json/", (200, {}, {"url": "spark://a:7077", "completeddrivers": "none"}))
    with pytest.raises(TruthUnknownError, match="doesn't know"):
        by_ui(master, "a:7077").ask(DRIVER, Deadline(LONG))


@pytest.mark.requirement("cluster-stop")
@pytest.mark.parametrize(("word", "state"), [("KILLED", KILLED), ("FINISHED", FINISHED)])
def test_a_stop_kills_and_waits_for_the_end(master, word, state):
    master.says("POST", KILL, (200, {}, {"success": word == "KILLED", "submissionId": DRIVER}))
    master.says("GET", STATUS, status("RUNNING"), status(word))
    assert rest(master).end(DRIVER, Deadline(LONG)).state is state
    assert [one[0] for one in master.asked] == ["POST", "GET", "GET"]


@pytest.mark.requirement("cluster-stop")
def test_a_stop_has_a_timeout(master):
    master.says("POST", KILL, (200, {}, {"success": True, "submissionId": DRIVER}))
    master.says("GET", STATUS, status("RUNNING"))
    with pytest.raises(TruthUnknownError, match="still says RUNNING"):
        rest(master).end(DRIVER, Deadline(0.5))


@pytest.mark.requirement("cluster-stop")
def test_a_client_that_hangs_is_ended(tmp_path, executable):
    java = executable(tmp_path / "java", "#!/bin/sh\nexec sleep 600\n")
    place = Place(["a:7077"], client={"java": str(java)})
    started = time.monotonic()
    with pytest.raises(TruthUnknownError, match="did not come to its end"):
        Standalone(place).end(DRIVER, Deadline(0.3))
    assert time.monotonic() - started < LONG


CLIENT = """#!/bin/sh
printf '%s\\n' "$@" >>"$0.words"
{}
"""


@pytest.mark.requirement("cluster-stop")
@pytest.mark.parametrize(
    ("says", "state"),
    [
        (
            f"echo 'X: Kill request for {DRIVER} submitted' >&2; echo 'State of driver {DRIVER} is KILLED, e' >&2",
            KILLED,
        ),
        (f"echo 'State of driver {DRIVER} is FINISHED, exiting' >&2", FINISHED),
        ("echo 'State of driver driver-1 is KILLED, exiting' >&2", "could not be told"),
        (f"echo 'Kill request for {DRIVER} submitted' >&2", "did not say in time"),
        (f"echo 'Driver {DRIVER} has already finished or does not exist' >&2; exit 255", ""),
        ("echo 'Exception in thread main: no route' >&2; exit 1", "no route"),
        ("exit 7", "exited with 7"),
    ],
)
def test_what_sparks_client_says(tmp_path, executable, says, state):
    java = executable(tmp_path / "java", CLIENT.format(says))
    place = Place(["a:7077", "b:7077"], client={"java": str(java), "class_path": "jars", "properties": ["--p", "f"]})
    truth = Standalone(place)
    if not state:
        assert truth.end(DRIVER, Deadline(LONG)).word == ""
    elif isinstance(state, TerminalState):
        assert truth.end(DRIVER, Deadline(LONG)).state is state
    else:
        with pytest.raises(TruthUnknownError, match=state):
            truth.end(DRIVER, Deadline(LONG))
    words = (tmp_path / "java.words").read_text().splitlines()
    first = words[: words.index(DRIVER) + 1]
    assert first[-4:] == ["spark-internal", "kill", "spark://a:7077,b:7077", DRIVER]
    assert first[first.index("-cp") + 1] == "jars"
    assert first[first.index("--p") : first.index("--p") + 2] == ["--p", "f"]
    # One of several masters that is gone keeps Spark's client from asking the others: they are asked alone.
    alone = "spark://a:7077" in words and "spark://b:7077" in words
    assert alone == (state in ("could not be told", "no route", "exited with 7"))


def test_a_java_that_is_gone():
    with pytest.raises(TruthUnknownError, match="could not be started"):
        Standalone(Place(["a:7077"], client={"java": "/no/such/java"})).end(DRIVER, Deadline(LONG))
