"""The frozen words of the house."""

from __future__ import annotations

import dataclasses

import pytest

from raydp_wrap import model
from raydp_wrap.model import Exit, Launch, Reason, TerminalState, Usage

WORDS = [getattr(model, name) for name in model.__all__]


@pytest.mark.parametrize("word", [word for word in WORDS if dataclasses.is_dataclass(word)])
def test_records_are_frozen_and_have_no_room_for_more(word: type) -> None:
    assert word.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert "__slots__" in vars(word)


def test_the_words_are_those_of_the_plan() -> None:
    assert [state.value for state in TerminalState] == ["UNKNOWN", "FINISHED", "FAILED", "KILLED"]
    assert {reason.value for reason in Reason} == {
        "AppFailed", "SubmissionFailed", "DeadlineExceeded", "AttemptDeadlineExceeded", "StartTimeout", "StopRequested",
        "Suspended", "OwnerDied", "OutOfMemory", "JobLost", "ExitForced", "ValidationFailed",
    }  # fmt: skip


def test_returncode_is_counted_as_popen_does() -> None:
    assert Exit(code=3).returncode == 3
    assert Exit(code=None, signal=15).returncode == -15


def test_a_launch_inherits_what_it_does_not_name() -> None:
    launch = Launch(("x",))
    assert (launch.executable, launch.env, launch.cwd, launch.pass_fds) == (None, None, None, ())
    with pytest.raises(dataclasses.FrozenInstanceError):
        launch.cwd = "/"  # type: ignore[misc]
    assert Usage() == Usage()
