"""An application that stops its SparkContext, works on for some seconds, and leaves the JVM a thread that keeps it."""

from __future__ import annotations

import sys
import time

from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
print(spark.range(5).count(), flush=True)
jvm = spark.sparkContext._jvm
jvm.java.util.concurrent.Executors.newFixedThreadPool(1).submit(jvm.java.lang.Thread())
spark.stop()
time.sleep(float(sys.argv[1]))
print("done", flush=True)
sys.exit(int(sys.argv[2]))
