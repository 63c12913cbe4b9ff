"""Applications that nobody submits: a SparkSession in a script or a notebook, whose outcome is told all the same."""

from __future__ import annotations

from raydp_wrap_spark.tracking.application import TrackedApplication
from raydp_wrap_spark.tracking.outside import TrackedOutside
from raydp_wrap_spark.tracking.start import track

__all__ = ["TrackedApplication", "TrackedOutside", "track"]
