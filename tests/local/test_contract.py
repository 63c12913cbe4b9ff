"""The local backend does what every backend has to do."""

from __future__ import annotations

import pytest

from raydp_wrap.local import LocalBackend
from raydp_wrap.testing import BackendContract

pytestmark = pytest.mark.requirement("plugin-3.2", "plugin-3.7")


class TestLocal(BackendContract):
    factory = LocalBackend
