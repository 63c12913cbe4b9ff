"""What was saved of a launcher's connection, as evidence and as outcomes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from raydp_wrap.model import Cause, Exit, ExitRecord, Reason, Submission, TerminalState, Usage
from raydp_wrap.outcome import from_record

from raydp_wrap_spark.launcher_protocol.judging import evidence

SUBMISSION = Submission("sub-1", "app", 1.0)
FINISHED, FAILED, KILLED = TerminalState.FINISHED, TerminalState.FAILED, TerminalState.KILLED


def record(*, code=0, signal=None, cause=Cause.NONE):
    end = Exit(code if signal is None else None, signal)
    return ExitRecord("sub-1/1", 10, 11, end, cause, None, 1.0, 2.0, 1.0, Usage(), tree_empty=True)


def outcome(record, saved):
    return from_record(record, SUBMISSION, more=evidence(SUBMISSION, record, saved))


@pytest.mark.requirement("launcher-5")
@pytest.mark.parametrize(
    ("said", "code", "state", "exit_code"),
    [
        ("FINISHED", 0, FINISHED, 0),
        ("FINISHED", 3, FAILED, 3),
        ("RUNNING", 0, FINISHED, 0),
        ("CONNECTED", 0, FINISHED, 0),
        (None, 0, FINISHED, 0),
        ("FAILED", 0, FAILED, 1),
        ("LOST", 0, FAILED, 1),
        ("KILLED", 0, KILLED, 143),
        ("KILLED", 3, FAILED, 3),
        ("nonsense", 0, FINISHED, 0),
    ],
)
def test_the_launchers_word_only_downgrades_a_success(said, code, state, exit_code):
    found = outcome(record(code=code), {"kind": "launcher", "state": said, "at": 1.5, "hang": None})
    assert (found.state, found.exit_code) == (state, exit_code)


@pytest.mark.requirement("launcher-5")
def test_a_launchers_finished_is_no_success():
    found = outcome(replace(record(), driver=None), {"state": "FINISHED", "at": 1.5})
    assert found.state is FAILED


def hang(main="ended", *, python=False, code=None, printed=None):
    return {"main": main, "python": python, "python_exit_code": code, "printed_exception": printed, "keepers": "'a'"}


@pytest.mark.requirement("hang-4")
@pytest.mark.parametrize(
    ("found", "said", "state", "exit_code"),
    [
        (hang(printed=False), "FINISHED", FINISHED, 0),
        (hang(printed=None), "FINISHED", FAILED, None),
        (hang(printed=True), "FINISHED", FAILED, 1),
        (hang("exiting"), "FINISHED", FAILED, None),
        (hang(python=True), "FINISHED", FINISHED, 0),
        (hang(python=True, code=0), "FINISHED", FINISHED, 0),
        (hang(None, python=True, code=0), "FINISHED", FINISHED, 0),
        (hang("exiting", python=True, code=3), "FINISHED", FAILED, 3),
        (hang("exiting", python=True), "FINISHED", FAILED, None),
        (hang(None), "FINISHED", FAILED, None),
        (hang(printed=False), "KILLED", KILLED, 143),
        (hang(printed=False), "FAILED", FAILED, 1),
        (hang(python=True, code=0), "LOST", FAILED, 1),
        (hang("exiting", python=True, code=3), "KILLED", FAILED, 3),
    ],
)
def test_a_jvm_that_was_ended_is_judged_by_what_the_application_did(found, said, state, exit_code):
    forced = record(signal=15, cause=Cause.EXIT_FORCED)
    judged = outcome(forced, {"kind": "launcher", "state": said, "at": 1.5, "hang": found})
    assert (judged.state, judged.exit_code if exit_code is not None else None) == (state, exit_code)
    assert judged.exit_code != 0 or state is FINISHED
    assert "ExitForced" in judged.diagnostics
    keepers = (
        "shutdown hooks do not end, in the threads 'a'"
        if found["main"] == "exiting"
        else ("kept alive by the non-daemon threads 'a'")
    )
    assert any(keepers in evidence.observation for evidence in judged.evidence)


@pytest.mark.requirement("hang-4")
def test_what_is_not_known_is_not_said():
    """An exception that was caught and printed leaves the same marks; a garbage collection leaves none."""
    saved = {"state": "FINISHED", "at": 1.5, "hang": hang(printed=True)}
    judged = outcome(record(signal=15, cause=Cause.EXIT_FORCED), saved)
    assert (judged.state, judged.exit_code, judged.reason) == (FAILED, 1, Reason.EXIT_FORCED)
    assert any("may have been" in evidence.observation for evidence in judged.evidence)
    judged = outcome(record(signal=15, cause=Cause.EXIT_FORCED), {**saved, "hang": hang(printed=None)})
    assert (judged.state, judged.reason) == (FAILED, Reason.EXIT_FORCED)
    assert any("is not known" in evidence.observation for evidence in judged.evidence)


@pytest.mark.requirement("hang-4")
def test_what_was_found_counts_only_where_the_jvm_was_ended_for_it():
    saved = {"state": "FINISHED", "at": 1.5, "hang": hang(printed=False)}
    assert outcome(record(code=3), saved).exit_code == 3
    stopped = outcome(record(signal=15, cause=Cause.REQUEST), saved)
    assert (stopped.state, stopped.reason) == (KILLED, Reason.STOP_REQUESTED)


def test_nothing_saved_is_no_evidence():
    assert list(evidence(SUBMISSION, record(), {})) == []
