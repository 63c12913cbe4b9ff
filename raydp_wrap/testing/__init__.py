"""For authors of plugins: the contracts as suites of tests, doubles that do what a script says, and fixtures.

Fixtures come with ``pytest_plugins = ["raydp_wrap.testing.fixtures"]`` in a conftest.py.
"""

from __future__ import annotations

try:
    import pytest
except ImportError as error:
    raise ImportError("raydp_wrap.testing needs pytest: pip install pytest, and try again.", name="pytest") from error

# Before they are imported: an assertion that fails then shows its values.
pytest.register_assert_rewrite("raydp_wrap.testing.sink_contract", "raydp_wrap.testing.backend_contract")

from raydp_wrap.testing.backend_contract import BackendContract  # noqa: E402 - see above
from raydp_wrap.testing.calling import Called, call  # noqa: E402
from raydp_wrap.testing.clock import FakeClock, Timer  # noqa: E402
from raydp_wrap.testing.fake_backend import AppId, FakeBackend, Script  # noqa: E402
from raydp_wrap.testing.fake_jobs import FakeJobs  # noqa: E402
from raydp_wrap.testing.faulty import FaultySink  # noqa: E402
from raydp_wrap.testing.holding import Held  # noqa: E402
from raydp_wrap.testing.outcomes import a_report, an_outcome, hostile_outcome  # noqa: E402
from raydp_wrap.testing.receiver import HttpReceiver, Request  # noqa: E402
from raydp_wrap.testing.sink_contract import SinkContract  # noqa: E402

__all__ = [
    "AppId",
    "BackendContract",
    "Called",
    "FakeBackend",
    "FakeClock",
    "FakeJobs",
    "FaultySink",
    "Held",
    "HttpReceiver",
    "Request",
    "Script",
    "SinkContract",
    "Timer",
    "a_report",
    "an_outcome",
    "call",
    "hostile_outcome",
]
