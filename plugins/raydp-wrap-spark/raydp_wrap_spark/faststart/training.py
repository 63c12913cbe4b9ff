"""Run by spark-submit while an archive is made: a little of what most applications do. The argument is a directory.

It is the application of a training run, and never imported.
"""

# mypy: ignore-errors
# Types are checked where there is no pyspark, too.

from __future__ import annotations

import contextlib
import sys

from pyspark.sql import SparkSession, Window
from pyspark.sql import functions as F  # noqa: N812 - as everybody does
from pyspark.sql.types import IntegerType


def main(directory: str) -> None:
    """Do one thing after the other. What can't be done here (to write files takes ``chmod``, say) is left out."""
    spark = SparkSession.builder.appName("training").getOrCreate()
    numbers = spark.range(1000).withColumn("key", F.col("id") % 7).withColumn("text", F.col("id").cast("string"))
    numbers.groupBy("key").count().collect()
    for step in (_words, _joins, _function, _files, _rdd):
        with contextlib.suppress(Exception):
            step(spark, numbers, directory)
    spark.stop()


def _words(spark, _numbers, _directory):  # noqa: ANN001, ANN202 - as the others
    lines = spark.createDataFrame([("to be or not to be",), ("that is the question",)] * 20, ["line"])
    words = lines.select(F.explode(F.split("line", " ")).alias("word")).groupBy("word").count()
    words.orderBy(F.desc("count"), "word").collect()
    words.createOrReplaceTempView("words")
    spark.sql("SELECT word, count FROM words WHERE count > 1 ORDER BY count DESC LIMIT 5").show()


def _joins(_spark, numbers, _directory):  # noqa: ANN001, ANN202 - as the others
    numbers.join(numbers.groupBy("key").agg(F.sum("id").alias("sum")), "key").filter("sum > 10").count()
    numbers.withColumn("rank", F.row_number().over(Window.partitionBy("key").orderBy("id"))).count()


def _function(_spark, numbers, _directory):  # noqa: ANN001, ANN202 - as the others
    numbers.select(F.udf(lambda number: number + 1, IntegerType())(F.col("id").cast("int"))).collect()


def _files(spark, numbers, directory):  # noqa: ANN001, ANN202 - as the others
    for kind in ("parquet", "csv", "json"):
        numbers.write.mode("overwrite").format(kind).save(f"{directory}/{kind}")
    spark.read.parquet(f"{directory}/parquet").groupBy("key").count().collect()
    spark.read.option("header", "true").csv(f"{directory}/csv").count()
    spark.read.json(f"{directory}/json").select("id").limit(3).collect()
    spark.read.text(f"{directory}/csv").filter(F.col("value").contains("1")).count()


def _rdd(spark, _numbers, _directory):  # noqa: ANN001, ANN202 - as the others
    pairs = spark.sparkContext.parallelize(range(100), 2).map(lambda number: (number % 3, 1))
    pairs.reduceByKey(lambda left, right: left + right).collect()


main(sys.argv[1])
