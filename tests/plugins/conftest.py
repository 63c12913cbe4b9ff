"""Each test has plugins of its own: those it installs into its ``site``, and no others."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

import pytest

from raydp_wrap.plugins import calls, discovery

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory on sys.path. What is imported from it is forgotten afterwards."""
    site = tmp_path / "site"
    site.mkdir()
    # The spark plugin may be installed where the tests run, and a developer may have others.
    others = {entry.name for entry in discovery.find()[0]}
    monkeypatch.setenv("RAYDP_WRAP_PLUGINS", ",".join(f"-{name}" for name in sorted(others)))
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setattr(calls, "_registry", None)
    importlib.invalidate_caches()
    before = set(sys.modules)
    yield site
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(site)):
            del sys.modules[name]
