"""A job that this version can't read leaves all others as they are, and is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from store.job_making import NOW, WISH, running, submitted
from store.making import ended, home
from store.test_latch import rows

from raydp_wrap.errors import StoreError
from raydp_wrap.model import TerminalState
from raydp_wrap.request import Phase
from raydp_wrap.store import Store

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["home"]

NEWER = pytest.mark.requirement("store-newer-job")
ACTION = """json_set(request, '$.retry.rules', json('[{"action":"FailIndex","exit_codes":[3]}]'))"""


def spoil(home: Path, submission_id: str, request: str = ACTION) -> None:
    rows(home, f"UPDATE jobs SET request = {request} WHERE submission_id = '{submission_id}'")


@NEWER
@pytest.mark.parametrize("request_", [ACTION, "'{}'", "'[]'", "'7'", """'{"argv":["x"],"retry":[]}'"""])
def test_it_is_left_out_and_named(home: Path, request_: str) -> None:
    with Store(home) as store:
        jobs = store.jobs
        submitted(jobs, "first")
        running(jobs, "newer")
        submitted(jobs, "last")
        assert jobs.unreadable() == []
        spoil(home, "newer", request_)
        assert [one.submission_id for one in jobs.unfinished()] == ["first", "last"]
        assert [one.submission_id for one in jobs.changed(0)] == ["first", "last"]
        told: list[str] = []
        listed = jobs.listed(left_out=lambda submission_id, why: told.extend((submission_id, why)))
        assert [one.submission_id for one in listed] == ["last", "first"]
        ((submission_id, why),) = jobs.unreadable()
        assert [submission_id, why] == told
        assert submission_id == "newer"
        assert why.startswith("the job newer in the store can't be understood")
        assert why.endswith("a newer raydp-wrap has written it, use that one.")


@NEWER
def test_it_is_named_anew_only_when_it_has_changed(home: Path) -> None:
    with Store(home) as store:
        submitted(store.jobs, "newer")
        spoil(home, "newer")
        seq = store.jobs.last_seq()
        assert [one for one, _ in store.jobs.unreadable(seq - 1)] == ["newer"]
        assert store.jobs.unreadable(seq) == []


@NEWER
def test_others_are_found_beside_it_and_it_alone_is_an_error(home: Path) -> None:
    with Store(home) as store:
        submitted(store.jobs, "same-1")
        submitted(store.jobs, "same-2")
        spoil(home, "same-1")
        assert [one.submission_id for one in store.jobs.find("same")] == ["same-2"]
        with pytest.raises(StoreError, match="the job same-1 in the store can't be understood"):
            store.jobs.find("same-1")


@NEWER
def test_one_that_has_ended_is_not_undecided(home: Path) -> None:
    with Store(home) as store:
        submitted(store.jobs, "newer")
        store.jobs.stop("newer", WISH, ended("newer", TerminalState.KILLED), NOW)
        spoil(home, "newer")
        assert store.jobs.unreadable() == []
        assert store.jobs.listed(phases=[Phase.KILLED]) == store.jobs.changed(0) == []
