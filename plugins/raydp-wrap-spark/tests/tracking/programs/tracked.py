"""An application that nobody submits: two SparkContexts, one after the other, and an error behind the second."""

import sys

from pyspark.sql import SparkSession

import raydp_wrap_spark

builder = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
with builder.getOrCreate() as spark:
    first = raydp_wrap_spark.track(spark, name="first", sinks=[sys.argv[1]])
    assert raydp_wrap_spark.track(spark.sparkContext) is first
    print(spark.range(5).count())
assert first.outcome.state.value == "FINISHED"

spark = builder.getOrCreate()
with raydp_wrap_spark.track(spark, name="second", sinks=[sys.argv[1]]) as second:
    assert second.submission_id != first.submission_id
    print(spark.range(7).count())
    spark.stop()
    raise ValueError("after the stop")
