"""A stop that can't be written down."""

from __future__ import annotations

import pytest

from raydp_wrap.errors import StoreFullError
from raydp_wrap.request import Phase
from raydp_wrap.store.jobs import StoreJobs


def full(*_args, **_kwargs):
    raise StoreFullError("the disk is full: make room there.")


@pytest.mark.requirement("jobs-1.4-stop", "fault-15")
def test_on_a_full_disk_the_guard_is_asked(client, monkeypatch) -> None:
    job = client.submit(["sh", "-c", "echo up; sleep 1000"])
    for _ in job.logs(follow=True):
        break
    monkeypatch.setattr(StoreJobs, "stop", full)
    assert job.stop(label="who needs room")
    outcome = job.wait(timeout=60)
    assert outcome.state.value == "KILLED"
    assert "who needs room" in outcome.diagnostics


@pytest.mark.requirement("jobs-1.4-stop")
def test_where_no_guard_is_there_it_is_told(client, monkeypatch) -> None:
    job = client.submit(["true"], suspend=True)
    monkeypatch.setattr(StoreJobs, "stop", full)
    with pytest.raises(StoreFullError):
        job.stop()
    monkeypatch.undo()
    assert job.phase is Phase.SUSPENDED
    job.stop()
