"""The fixtures for plugin authors, imported: pytest_plugins may stand in a topmost conftest only."""

from __future__ import annotations

from raydp_wrap.testing.fixtures import faulty_sink, http_receiver, no_leftover_processes, raydp_wrap_home

__all__ = ["faulty_sink", "http_receiver", "no_leftover_processes", "raydp_wrap_home"]
