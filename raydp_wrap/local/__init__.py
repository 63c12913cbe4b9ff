"""Attempts as processes of this machine, each under a detached guard that outlives its owner."""

from __future__ import annotations

__all__ = ["LocalBackend", "Output"]

TYPE_CHECKING = False  # typing's own costs 10 ms, and type checkers know this one as well
if TYPE_CHECKING:
    from raydp_wrap.local.backend import LocalBackend
    from raydp_wrap.local.output import Output


def __getattr__(name: str) -> object:
    # Lazily: who reads an output needs neither asyncio nor the guard.
    if name == "LocalBackend":
        from raydp_wrap.local.backend import LocalBackend  # noqa: PLC0415

        return LocalBackend
    if name == "Output":
        from raydp_wrap.local.output import Output  # noqa: PLC0415

        return Output
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
