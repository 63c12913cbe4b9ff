"""Count the words of a text with PySpark: ``raydp-submit --master 'local[2]' word_count.py [TEXT] [TOP_N]``.

Prints the TOP_N (10) most frequent words, most frequent first and equal ones in alphabetical order, then the
totals. Exits with 2 and one sentence if the arguments are wrong.
"""

from __future__ import annotations

import re
import sys
from operator import add
from pathlib import Path

from pyspark.sql import SparkSession

TEXT = Path(__file__).resolve().parent / "data" / "lighthouse.txt"
TOP_N = 10
WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")


def words(line: str) -> list[str]:
    """Return the words of LINE in lower case; an apostrophe inside a word belongs to it."""
    return WORD.findall(line.lower())


def count(spark: SparkSession, text: Path) -> list[tuple[str, int]]:
    """Return every word of the file TEXT with its count, in the order they are printed."""
    lines = spark.read.text(f"file://{text}").rdd
    counts = lines.flatMap(lambda row: words(row.value)).map(lambda word: (word, 1)).reduceByKey(add)
    return sorted(counts.collect(), key=lambda pair: (-pair[1], pair[0]))


def main(argv: list[str]) -> int:
    """Run the job; the exit code."""
    text = Path(argv[0]).resolve() if argv else TEXT
    top_n = argv[1] if len(argv) > 1 else str(TOP_N)
    if not text.is_file():
        print(f"word_count.py: there is no file {str(text)!r}.", file=sys.stderr)
        return 2
    if not top_n.isdecimal():
        print(f"word_count.py: TOP_N is a number of words, not {top_n!r}.", file=sys.stderr)
        return 2

    spark = SparkSession.builder.appName("word count").getOrCreate()
    try:
        spark.sparkContext.setLogLevel("WARN")
        counts = count(spark, text)
    finally:
        spark.stop()

    shown = counts[: int(top_n)]
    width = max((len(word) for word, _ in shown), default=0)
    for word, number in shown:
        print(f"{word:<{width}} {number:>6}")
    print(f"{sum(number for _, number in counts)} words, {len(counts)} different")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
