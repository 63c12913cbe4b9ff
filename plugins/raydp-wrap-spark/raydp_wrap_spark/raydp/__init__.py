"""RayDP's command line, and Spark on Ray."""

from __future__ import annotations

from raydp_wrap_spark.raydp.submit import raydp_submit

__all__ = ["raydp_submit"]
