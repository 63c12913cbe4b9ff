"""A JVM that starts faster: an archive of Spark's classes, made once in the background and used from then on."""

from __future__ import annotations

from raydp_wrap_spark.faststart.archive import equip, is_on
from raydp_wrap_spark.faststart.compiled import with_compiled
from raydp_wrap_spark.faststart.making import after

__all__ = ["after", "equip", "is_on", "with_compiled"]
