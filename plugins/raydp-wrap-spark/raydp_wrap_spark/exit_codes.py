"""What Spark means by the codes it exits with (``SparkExitCode`` and ``SparkSubmit``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raydp_wrap.model import Evidence

if TYPE_CHECKING:
    from raydp_wrap.model import ExitRecord

__all__ = ["MEANINGS", "evidence_of_code"]

MEANINGS = {
    11: "more executors failed than spark.executor.maxNumFailures allows",
    50: "an exception that nothing caught",
    51: "an exception that nothing caught, and another one in telling of it",
    52: "an OutOfMemoryError: give the driver more with --driver-memory",
    101: "a main class that is not there: look at --class and at the application's jar",
    124: "a command that took too long",
    127: "a command that was not found",
}


def evidence_of_code(record: ExitRecord) -> list[Evidence]:
    """What the driver's exit code means where it is Spark's own. An application may exit with it, too."""
    code = record.driver.code if record.driver is not None else None
    if code not in MEANINGS:
        return []
    return [Evidence("spark", f"where it was Spark that exited with {code}, it means {MEANINGS[code]}")]
