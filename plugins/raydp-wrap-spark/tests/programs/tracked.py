"""An application that nobody submits: it stops its SparkContext, and fails afterwards."""

import sys

import raydp_wrap
from pyspark.sql import SparkSession

with raydp_wrap.track("notebook", sinks=[f"file:{sys.argv[1]}"]) as tracked:
    spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
    tracked.bind(spark.sparkContext.applicationId)
    print(spark.range(5).count())
    spark.stop()
    raise ValueError("after the stop")
