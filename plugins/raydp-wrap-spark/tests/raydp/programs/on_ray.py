"""An application on Ray: one query, what it was started with, and an end of the kind its first two arguments name."""

from __future__ import annotations

import json
import sys
import time

from pyspark.sql import SparkSession

how = sys.argv[1]
spark = SparkSession.builder.getOrCreate()
told = {
    "argv": sys.argv[1:],
    "master": spark.sparkContext.master,
    "sum": spark.range(100).selectExpr("sum(id)").first()[0],
}
sys.stdout.write(json.dumps(told) + "\n")
sys.stdout.flush()
while how == "forever":
    time.sleep(60)
if how == "stop":
    spark.stop()
sys.exit(int(sys.argv[2]))
