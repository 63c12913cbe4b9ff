"""An application that is tracked from within although it was submitted: it says under which id."""

import sys

from pyspark.sql import SparkSession

import raydp_wrap_spark

spark = SparkSession.builder.config("spark.ui.enabled", "false").getOrCreate()
with raydp_wrap_spark.track(spark, name="inside", sinks=[sys.argv[1]]) as tracked:
    print(tracked.submission_id, tracked.outcome)
spark.stop()
sys.exit(3)
