"""Each test has plugins of its own: those it installs into its ``site``, and no others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from programs.installed import own_site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with own_site(tmp_path, monkeypatch) as site:
        yield site
