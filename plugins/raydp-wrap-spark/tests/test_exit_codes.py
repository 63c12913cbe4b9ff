from __future__ import annotations

import dataclasses

import pytest
from raydp_wrap.model import Cause, Exit, ExitRecord, Rank, TerminalState, Usage

from raydp_wrap_spark.exit_codes import MEANINGS, evidence_of_code

RECORD = ExitRecord("id", 1, 2, Exit(0), Cause.NONE, None, 0.0, 1.0, 1.0, Usage(), tree_empty=True)


@pytest.mark.requirement("drop-in-exit-codes")
@pytest.mark.parametrize("code", [11, 50, 51, 52, 101, 124, 127])
def test_a_code_of_spark_s_is_explained_and_decides_nothing(code: int) -> None:
    (piece,) = evidence_of_code(dataclasses.replace(RECORD, driver=Exit(code)))
    assert MEANINGS[code] in piece.observation
    assert (piece.rank, piece.state) == (Rank.CONTEXT, TerminalState.UNKNOWN)


@pytest.mark.requirement("drop-in-exit-codes")
@pytest.mark.parametrize("end", [Exit(0), Exit(3), Exit(None, 9), None])
def test_any_other_end_is_not(end: Exit | None) -> None:
    assert evidence_of_code(dataclasses.replace(RECORD, driver=end)) == []
