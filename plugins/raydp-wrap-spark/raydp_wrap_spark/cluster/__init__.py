"""What the cluster knows of an application: how it ended, and a way to end it."""

from __future__ import annotations

from raydp_wrap_spark.cluster.described import describe

__all__ = ["describe"]
