"""What there is to know of a SparkContext: that it is one, its settings, and the process of its JVM."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any, Final

from raydp_wrap.errors import UsageError

__all__ = ["SETTINGS", "context_of", "jvm_pid", "settings_of"]

SETTINGS: Final = "spark.raydp.wrap."


def context_of(spark: object) -> Any:
    """The live SparkContext that SPARK, a SparkSession or a SparkContext, stands for.

    Raises:
        UsageError: it stands for none, or it is stopped.

    """
    if any(kind.__module__.startswith("pyspark.sql.connect") for kind in type(spark).__mro__):
        raise UsageError(
            "a Spark Connect session has no SparkContext in this process: track the application where its server "
            "runs, or this process with raydp_wrap.track(name)."
        )
    pyspark = sys.modules.get("pyspark")
    context = getattr(spark, "sparkContext", spark)
    if pyspark is None or not isinstance(context, pyspark.SparkContext):
        raise UsageError(f"track takes a SparkSession or a SparkContext, not {type(spark).__name__}.")
    if getattr(context, "_jsc", None) is None:
        raise UsageError("this SparkContext is stopped already: track it before spark.stop().")
    return context


def settings_of(context: Any) -> dict[str, str]:
    """The wrapper's own settings in CONTEXT's configuration, as ``raydp_wrap.settings`` reads them."""
    found = context.getConf().getAll()
    return {name.removeprefix(SETTINGS): value for name, value in found if name.startswith(SETTINGS)}


def jvm_pid(context: Any) -> int | None:
    """The pid of CONTEXT's JVM, a child or the parent of this process; None where it is neither."""
    started = vars(context._gateway).get("proc")  # noqa: SLF001 - PySpark has no public name for it
    if started is not None:
        return int(started.pid) if started.poll() is None else None
    with contextlib.suppress(Exception):  # whatever a gateway of somebody's own answers
        pid = int(context._jvm.java.lang.ProcessHandle.current().pid())  # noqa: SLF001 - the same
        if pid == os.getppid():
            return pid
    return None
