"""spark-submit and raydp-submit for raydp-wrap, and applications that nobody submits."""

from __future__ import annotations

TYPE_CHECKING = False  # typing's own costs 10 ms, and type checkers know this one as well
if TYPE_CHECKING:
    from raydp_wrap_spark.tracking import TrackedApplication, TrackedOutside, track

__all__ = ["TrackedApplication", "TrackedOutside", "track"]


def __getattr__(name: str) -> object:
    # Lazily: the plugin's hooks need none of it.
    if name in __all__:
        from raydp_wrap_spark import tracking  # noqa: PLC0415

        return getattr(tracking, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
