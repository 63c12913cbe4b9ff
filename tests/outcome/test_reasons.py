"""Every reason has its row."""

from __future__ import annotations

import pytest

from raydp_wrap.model import Reason
from raydp_wrap.outcome import REASONS, Fault

DEADLINES = {Reason.DEADLINE_EXCEEDED, Reason.ATTEMPT_DEADLINE_EXCEEDED, Reason.START_TIMEOUT}


@pytest.mark.requirement("outcome-1.3")
@pytest.mark.parametrize("reason", Reason)
def test_each_reason_says_all_there_is_to_say(reason: Reason) -> None:
    meaning = REASONS[reason]
    assert isinstance(meaning.retryable, bool)
    assert meaning.fault in Fault
    assert meaning.text
    assert meaning.text[0].islower()
    assert not meaning.text.endswith(".")


@pytest.mark.requirement("outcome-1.3")
def test_no_row_is_without_a_reason() -> None:
    assert set(REASONS) == set(Reason)


@pytest.mark.requirement("outcome-1.3")
@pytest.mark.parametrize("reason", sorted(DEADLINES, key=lambda reason: reason.value))
def test_a_deadline_is_never_retried(reason: Reason) -> None:
    assert not REASONS[reason].retryable


@pytest.mark.requirement("outcome-1.3")
@pytest.mark.parametrize("reason", [Reason.STOP_REQUESTED, Reason.SUSPENDED, Reason.VALIDATION_FAILED])
def test_what_somebody_wanted_or_can_t_be_is_not_retried(reason: Reason) -> None:
    assert not REASONS[reason].retryable
