"""Attempts as processes of this machine, each under a guard that outlives its owner."""

from __future__ import annotations

from raydp_wrap.local.backend import LocalBackend

__all__ = ["LocalBackend"]
