"""Applications that nobody submits: a SparkSession in a script or a notebook, whose outcome is told all the same.

What ends one, and as what it is told:

- ``spark.stop()``, ``sc.stop()``, or a session's ``with``: FINISHED. While an exception is under way (``finally``), a
  script's end decides instead; at a prompt or in a notebook it is FAILED with that exception.
- The ``with`` block of ``track`` itself: as what leaves it. What follows a stop in it counts.
- A script's end with a live SparkContext: its exit code; an uncaught exception is FAILED 1 with the traceback, Ctrl-C
  is KILLED 130. A prompt's end: the exit code.
- A notebook's kernel that is shut down, or restarted, with a live SparkContext: KILLED, StopRequested, for nobody said
  that the work was done. An error or an interrupt in a cell ends nothing.
- SIGKILL, SIGTERM without a handler, the OOM killer, ``os._exit``: KILLED, OwnerDied, told from outside.
- The end of the JVM before the stop: FAILED with its exit code, or 128+n, at once.

What is not seen: an exit code after a stop outside of the block (it has been told by then); a stop from within the JVM,
or by the cluster; ``SparkContext.stop(sc)``, past the object; a JVM that is neither child nor parent of the process.
The exit code of ``raise SystemExit(n)`` and of the prompt's ``exit(n)`` is read from outside, which Linux can do from
6.15 on, and before that until the parent has asked for it: else it is FAILED, JobLost. A multiprocessing child ends
by ``os._exit``: one that tracks an application of its own has to stop it, or to use the block.
"""

from __future__ import annotations

from raydp_wrap_spark.tracking.application import TrackedApplication
from raydp_wrap_spark.tracking.outside import TrackedOutside
from raydp_wrap_spark.tracking.start import track

__all__ = ["TrackedApplication", "TrackedOutside", "track"]
