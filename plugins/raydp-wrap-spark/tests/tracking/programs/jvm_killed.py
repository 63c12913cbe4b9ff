"""An application in the middle of a query that would not end: its JVM is killed."""

import os
import signal
import sys
import threading

from pyspark.sql import SparkSession

import raydp_wrap_spark

spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
raydp_wrap_spark.track(spark, sinks=[sys.argv[1]])
jvm = spark.sparkContext._gateway.proc.pid


def forever(rows):
    os.kill(jvm, signal.SIGKILL)
    threading.Event().wait()
    yield from rows


spark.sparkContext.parallelize([1]).mapPartitions(forever).collect()
