# noqa: INP001 - a directory for the application's path, no package
"""Read by the application's Python as it starts, whose last act then is to stop a SparkContext that still runs.

Left to the JVM's end, two shutdown hooks race: if Ray's is faster than Spark's, Ray ends the JVM with 1, whatever
the application's exit code was. Apart from that, the application sees nothing of this: not on its path, not in its
environment, and a sitecustomize of its own is read as ever. Any Python that Spark can use must be able to read it.
"""

from __future__ import annotations

import atexit
import os
import sys


def _stop(pid: int = os.getpid()) -> None:
    # A fork shares the connection to the JVM, and must leave it alone.
    context = getattr(sys.modules.get("pyspark.context"), "SparkContext", None)
    active = getattr(context, "_active_spark_context", None)
    if active is not None and os.getpid() == pid:
        import contextlib  # noqa: PLC0415 - every start pays for an import, and most have it by now

        with contextlib.suppress(Exception):  # the JVM is gone, or Spark fails to stop: the exit code says how it was
            active.stop()


def _step_aside() -> None:
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [path for path in sys.path if os.path.abspath(path) != here]
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and path != here]
    if paths:
        os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    else:
        os.environ.pop("PYTHONPATH", None)
    ours = sys.modules.pop(__name__)
    try:
        import sitecustomize  # type: ignore[import-not-found] # noqa: F401, PLC0415 - now the one behind this
    except ImportError:
        sys.modules[__name__] = ours


if "PYSPARK_GATEWAY_PORT" in os.environ:  # the one that SparkSubmit starts
    atexit.register(_stop)
_step_aside()
