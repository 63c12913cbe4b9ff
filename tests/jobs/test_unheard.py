"""What a client commits that never rings is acted on, however long its commit takes."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from crash.harness import need_strace
from programs.facts import environment

from raydp_wrap.request import Phase

if TYPE_CHECKING:
    from jobs.real_home import RealHome

SUBMIT = """
import sys, time
from raydp_wrap.model import Submission
from raydp_wrap.moment import Moment
from raydp_wrap.request import Context, Request
from raydp_wrap.store import Store
with Store(sys.argv[1]) as store:
    store.jobs.submit(Submission("job", "job", time.time()), Request(("/bin/true",)), Context(), Moment.now())
"""


@pytest.mark.requirement("jobs-2.1-events")
def test_a_commit_that_is_long_in_coming(home: RealHome) -> None:
    """It shows in the log before its fsync, and can be seen only after it."""
    home.start()
    home.submit("first", "/bin/true")
    home.until("first")
    slow = (need_strace(), "-f", "-qq", "-e", "inject=fdatasync,fsync:delay_enter=300000", "-o", "/dev/null")
    subprocess.run([*slow, sys.executable, "-c", SUBMIT, str(home.path)], check=True, timeout=60, env=environment())
    assert home.until("job").phase is Phase.FINISHED
