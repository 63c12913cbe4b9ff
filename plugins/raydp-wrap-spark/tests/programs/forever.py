"""An application in the middle of its work: says so, and goes on until it is ended."""

import sys
import time

from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
assert spark.range(10).count() == 10
sys.stdout.write("running a query\n")
sys.stdout.flush()
while True:
    time.sleep(60)
