"""The jobs in memory can be killed around each change, and have all the methods of the contract."""

from __future__ import annotations

import inspect

import pytest
from store.job_making import OPERATIONS, template

from raydp_wrap.job import Jobs
from raydp_wrap.store.jobs import StoreJobs
from raydp_wrap.testing import FakeJobs


class KilledError(Exception):
    """As if the process were."""


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("after", [False, True])
def test_a_kill_before_a_change_leaves_nothing_and_one_after_it_all(name: str, *, after: bool) -> None:
    calls: list[tuple[str, bool]] = []

    def fault(method: str, done: bool) -> None:  # noqa: FBT001 - as it is called
        calls.append((method, done))
        if done is after:
            raise KilledError

    killed, other = FakeJobs(), FakeJobs()
    for jobs in (killed, other):
        template(jobs)
    killed.fault = fault
    with pytest.raises(KilledError):
        OPERATIONS[name](killed)
    if after:
        OPERATIONS[name](other)
    submission_id, method = name.split("-")
    assert calls == [(method, False), (method, True)][: 1 + after]
    assert killed.changes(0) == other.changes(0)
    assert killed.job(submission_id) == other.job(submission_id)
    assert killed.outcome(submission_id) == other.outcome(submission_id)


@pytest.mark.parametrize("kept", [StoreJobs, FakeJobs])
def test_the_whole_contract_is_there(kept: type) -> None:
    for name, method in inspect.getmembers(Jobs, inspect.isfunction):
        if name.startswith("_"):
            continue
        mine = inspect.signature(getattr(kept, name)).parameters
        asked = inspect.signature(method).parameters
        assert [(one.name, one.kind, one.default) for one in mine.values()] == [
            (one.name, one.kind, one.default) for one in asked.values()
        ], name
