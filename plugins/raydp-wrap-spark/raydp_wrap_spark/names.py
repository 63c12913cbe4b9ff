"""Names of Spark's that several modules go by."""

from __future__ import annotations

from typing import Final

__all__ = ["MAIN_CLASS"]

#: What spark-submit starts; RayDP has one of its own, by the same name. Behind it stand spark-submit's arguments.
MAIN_CLASS: Final = "org.apache.spark.deploy.SparkSubmit"
