"""Jobs whose time to be kept is over are forgotten though nothing else happens, whoever supervises."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from jobs.real_home import until

from raydp_wrap.job import StopWish
from raydp_wrap.model import Submission
from raydp_wrap.moment import Moment
from raydp_wrap.request import Context, Request
from raydp_wrap.supervisor.verdict import killed
from raydp_wrap.testing.fake_jobs import FakeJobs

if TYPE_CHECKING:
    from jobs.real_home import RealHome

pytestmark = pytest.mark.requirement("jobs-1.4-ttl")


def test_each_at_its_own_time(home: RealHome) -> None:
    """The last one's time comes when nothing else is to be done any more."""
    home.start()
    for name, ttl in (("first", 0.0), ("second", 0.3), ("third", 0.6)):
        home.submit(name, "/bin/true", ttl_after_finished=ttl)
    until(lambda: home.store.jobs.last_seq() and not home.jobs.changed(0), lambda: home.jobs.changed(0), 20)


def test_the_next_supervisor_sees_to_what_ended_before(home: RealHome) -> None:
    home.submit("job", "/bin/true", ttl_after_finished=1.0)
    home.start()
    home.until("job")
    home.kill()
    home.start()
    until(lambda: home.jobs.job("job") is None, lambda: home.jobs.job("job"), 20)
    assert not home.place("job").exists()


def test_which_one_is_the_next(home: RealHome) -> None:
    """The store and what stands in for it agree."""
    now = Moment.now()
    for jobs in (home.jobs, FakeJobs()):
        assert jobs.next_expiry(now) is None
        for name, ttl in (("a", 30.0), ("b", 10.0), ("c", None)):
            submission = Submission(name, name, now.wall)
            job, _ = jobs.submit(submission, Request(("true",), ttl_after_finished=ttl), Context(), now)
            assert jobs.next_expiry(now) == (30.0 if name == "b" else 10.0 if name == "c" else None)
            wish = StopWish(now.wall, 1, 1)
            jobs.stop(name, wish, killed(job, wish, now), now)
        assert jobs.next_expiry(now) == 10.0
        assert jobs.next_expiry(now.after(10.0)) == 20.0
        assert jobs.next_expiry(now.after(30.0)) is None
