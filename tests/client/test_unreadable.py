"""What a newer version has written is left out of a list, and told once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from store.test_latch import rows

from raydp_wrap import Client
from raydp_wrap.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.requirement("store-newer-job")
def test_a_job_of_a_newer_version_is_told_once(shared_home: Path) -> None:
    told: list[str] = []
    with Client(shared_home, tell=told.append) as client:
        jobs = [client.submit(["true"], suspend=True, tags={"team": "newer"}) for _ in range(3)]
        newer = {"argv": ["true"], "retry": {"rules": [{"action": "FailIndex", "exit_codes": [3]}]}}
        rows(shared_home, f"UPDATE jobs SET request = '{json.dumps(newer)}' WHERE submission_id = '{jobs[1].id}'")
        for _ in range(2):
            assert client.jobs(tags={"team": "newer"}) == [jobs[2], jobs[0]]
            assert [one.submission_id for one in client.statuses(tags={"team": "newer"})] == [jobs[2].id, jobs[0].id]
        ((said),) = told
        assert jobs[1].id in said
        with pytest.raises(StoreError, match="a newer raydp-wrap has written it, use that one"):
            client.job(jobs[1].id)
        assert jobs[0].stop()
