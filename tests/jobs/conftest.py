"""A home of the test's own, and nothing of it left when the test has ended."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from conftest import children
from crash.harness import reap_strays
from jobs.real_home import RealHome, Supervisors
from jobs.strangers import Strangers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def supervisors() -> Iterator[Supervisors]:
    one = Supervisors()
    yield one
    one.close()


@pytest.fixture
def home(tmp_path: Path, supervisors: Supervisors) -> Iterator[RealHome]:
    before = set(children(os.getpid()))
    one = RealHome(tmp_path, supervisors)
    yield one
    one.close()
    reap_strays(before)


@pytest.fixture
def strangers() -> Iterator[Strangers]:
    one = Strangers()
    yield one
    one.close()
