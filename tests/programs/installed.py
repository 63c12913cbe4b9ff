"""Plugins installed for a test: real distributions, as an installer leaves them in a directory on sys.path."""

from __future__ import annotations

import contextlib
import importlib
import sys
from typing import TYPE_CHECKING

from raydp_wrap.plugins import calls, discovery

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest

HOOKS = "from raydp_wrap.hookspecs import hookimpl\n"


@contextlib.contextmanager
def own_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory on sys.path, and no plugins but those in it. What is imported from it is forgotten afterwards."""
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


def distribution(site: Path, directory: str, entry_points: str | None, *, name: str = "", version: str = "1") -> Path:
    """A metadata directory (``NAME-1.dist-info``, ``NAME.egg-info``) in SITE, with this entry_points.txt."""
    info = site / directory
    info.mkdir(parents=True)
    file = "PKG-INFO" if directory.lower().endswith("egg-info") else "METADATA"
    name = name or directory.partition("-")[0].removesuffix(".egg")
    (info / file).write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    if entry_points is not None:
        (info / "entry_points.txt").write_text(entry_points, encoding="utf-8")
    return info


def plugin(site: Path, name: str, source: str, *, module: str | None = None) -> Path:
    """A distribution with one module and one entry point, both called NAME; the module's file."""
    module = module or name.replace("-", "_")
    distribution(site, f"{name}-1.dist-info", f"[raydp_wrap]\n{name} = {module}\n")
    file = site / f"{module}.py"
    file.write_text(source, encoding="utf-8")
    return file


def hook(signature: str, body: str, marker: str = "@hookimpl") -> str:
    """The source of a module that implements one hook."""
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    return f"{HOOKS}{marker}\ndef raydp_wrap_{signature}:\n{lines}\n"
