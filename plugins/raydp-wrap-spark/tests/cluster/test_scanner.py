from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raydp_wrap_spark.cluster.scanner import STANDALONE, YARN, Heard, Scanner

# As Spark 4.3 wrote them.
BY_RPC = b"""\
WARNING: Using incubator modules: jdk.incubator.vector
26/11/22 10:51:44 INFO ClientEndpoint: ... waiting before polling master for driver state
26/11/22 10:51:44 INFO ClientEndpoint: Driver successfully submitted as driver-20261122105144-0000
26/11/22 10:51:49 INFO ClientEndpoint: State of driver-20261122105144-0000 is FAILED
26/11/22 10:51:49 INFO ClientEndpoint: State of driver driver-20261122105144-0000 is FAILED, exiting spark-submit JVM.
"""
BY_REST = b"""\
Running Spark using the REST application submission protocol.
26/11/22 10:52:02 INFO RestSubmissionClient: Submission successfully created as driver-20261122105202-0000. Polling \
submission state...
26/11/22 10:52:02 INFO RestSubmissionClient: State of driver driver-20261122105202-0000 is now RUNNING.
26/11/22 10:52:02 INFO RestSubmissionClient: Driver is running on worker worker-2 at 127.0.0.1:37213.
26/11/22 10:52:02 INFO RestSubmissionClient: Server responded with CreateSubmissionResponse:
{
  "message" : "Driver successfully submitted as driver-20261122105202-0000",
  "submissionId" : "driver-20261122105202-0000",
  "success" : true
}
"""
STRUCTURED = (
    b'{"ts":"2026-11-22T10:51:44Z","level":"INFO","msg":"Driver successfully submitted as my.drv-7",'
    b'"logger":"ClientEndpoint"}\n'
)
RPC, REST = Heard("driver-20261122105144-0000", "rpc", "FAILED"), Heard("driver-20261122105202-0000", "rest", "RUNNING")


def heard(text, argv=(), words=STANDALONE):
    scanner = Scanner(argv, words)
    scanner.feed(text)
    scanner.end()
    return scanner.heard


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (BY_RPC, RPC),
        (BY_REST, REST),
        (STRUCTURED, Heard("my.drv-7", "rpc")),
        (b"State of driver-1 is FAILED\n", None),  # whose?
        (b"Driver successfully submitted as \n", None),
        (BY_RPC + b"State of driver driver-20990101000000-0000 is KILLED\n", RPC),
        (b"no end " * 100_000 + BY_RPC, None),  # the line that names it has begun long before
        (b"no end " * 100_000 + b"\n" + BY_RPC, RPC),
    ],
    ids=["rpc", "rest", "structured", "no id", "empty", "another's state", "long line", "after a long line"],
)
def test_what_a_submitter_says(text, expected):
    if text.startswith(b"no end") and expected is None:
        text = text.replace(b"\n", b" ")
    assert heard(text) == expected


APP = "application_1700000000000_0042"
# In the words of the two clients' sources.
BY_YARN = f"""\
26/11/22 11:00:00 INFO Client: Submitting application {APP} to ResourceManager
26/11/22 11:00:01 INFO YarnClientImpl: Submitted application {APP}
26/11/22 11:00:02 INFO Client: Application report for {APP} (state: ACCEPTED)
26/11/22 11:00:03 INFO Client: Application report for {APP} (state: RUNNING)
""".encode()


@pytest.mark.requirement("cluster-yarn-unheard")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (BY_YARN, Heard(APP, "yarn", "RUNNING")),
        (BY_YARN.splitlines()[0], Heard(APP, "yarn")),  # it may have been submitted
        (BY_YARN.splitlines()[1], Heard(APP, "yarn")),
        (BY_YARN.splitlines()[2], Heard(APP, "yarn", "ACCEPTED")),
        (b"INFO Client: Requesting a new application from cluster with 3 NodeManagers\n", None),
        (b"INFO X: Submitted application application_x_1\n", None),
        (BY_RPC, None),
    ],
)
def test_what_a_submitter_to_yarn_says(text, expected):
    assert heard(text, words=YARN) == expected
    assert heard(text, ["--name", f"as {APP}"], YARN) is None


@given(st.lists(st.integers(0, len(BY_REST)), max_size=12))
def test_it_does_not_matter_in_which_pieces(cuts):
    scanner = Scanner()
    at = [0, *sorted(cuts), len(BY_REST)]
    for start, stop in pairwise(at):
        scanner.feed(BY_REST[start:stop])
    assert scanner.heard == REST


@given(st.binary(max_size=300))
def test_garbage_names_no_driver_and_stops_nothing(garbage):
    scanner = Scanner()
    scanner.feed(garbage)
    scanner.feed(b"\n" + BY_RPC)
    assert scanner.heard == RPC


def test_memory_is_bounded():
    scanner = Scanner()
    for _ in range(100):
        scanner.feed(b"x" * 65536)
    assert len(scanner._line) <= 8192


@pytest.mark.requirement("cluster-id-echo")
def test_what_only_repeats_an_argument_is_no_driver():
    argument = "Driver successfully submitted as driver-20990101000000-0000"
    assert heard(f"Arguments:\n{argument}\n".encode() + BY_RPC, ["--verbose", argument]) == RPC
    assert heard(f"Arguments:\n{argument}\n".encode(), ["--verbose", argument]) is None
