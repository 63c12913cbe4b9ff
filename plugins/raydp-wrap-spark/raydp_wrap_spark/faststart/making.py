"""After a run's end: start the making of an archive that was missing, drop one that a JVM died of."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raydp_wrap.errors import RaydpWrapError
from raydp_wrap.model import EventKind, TerminalState

from raydp_wrap_spark.faststart import runs
from raydp_wrap_spark.faststart.command import JAVA_VARIABLES

if TYPE_CHECKING:
    from raydp_wrap.model import Event, Outcome
    from raydp_wrap.process import Guard

    from raydp_wrap_spark.faststart.runs import Begun

__all__ = ["DEADLINE", "after", "environment_of", "request_of", "start"]

#: Seconds that one making may take.
DEADLINE = 600.0
_CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL)
# What HotSpot writes when an archive's page can't be had; a program's own fault is reported without it.
_DIED_OF_IT = b"Error accessing class data sharing archive."
_BEGINNING = 1 << 16
# What the training run needs to find Spark, Java and Python as the user's run did; nothing else goes with it.
_NEEDED = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "LD_LIBRARY_PATH",
    "JAVA_HOME",
    "SPARK_HOME",
    "SPARK_SCALA_VERSION",
    "PYSPARK_PYTHON",
    "PYSPARK_DRIVER_PYTHON",
    "PYTHONPATH",
    "PYTHONHOME",
    "VIRTUAL_ENV",
    *JAVA_VARIABLES,
)


# Guards that live on when we end: kept until they can be reaped.
_makers: list[Guard] = []


def after(event: Event) -> None:
    """Do what the end of a run asks for. Called with every event, in the process that owns the run."""
    if event.kind is not EventKind.TERMINAL or event.outcome is None:
        return
    begun = runs.take()
    if begun is None:
        return
    with contextlib.suppress(OSError, RaydpWrapError):  # only the speed of later runs is at stake
        if begun.uses:
            if _crashed(event.outcome):
                # Whatever it died of: the next run shows whether it does without the archive, too.
                begun.cache.drop(begun.plan.key)
                _clear_away(begun)
        elif event.outcome.state is TerminalState.FINISHED:
            start(begun)


def _crashed(outcome: Outcome) -> bool:
    return outcome.state is TerminalState.FAILED and outcome.signal in _CRASHES


def _clear_away(begun: Begun) -> None:
    """Remove what the JVM wrote where the user's run was, if it says that it died of our archive and nothing else."""
    archive = os.fsencode(begun.cache.path(begun.plan.key))
    for file in Path(begun.directory).glob("hs_err_pid*.log"):
        if not file.is_file():
            continue
        with contextlib.suppress(OSError), file.open("rb") as opened:
            beginning = opened.read(_BEGINNING)
            if _DIED_OF_IT in beginning and archive in beginning:
                file.unlink()
                # Where a compiler's thread was hit, there is what it was at, too.
                file.with_name(file.name.replace("hs_err_pid", "replay_pid")).unlink(missing_ok=True)


def start(begun: Begun) -> bool:
    """Begin to make BEGUN's archive, in a process of its own; whether that was due.

    Raises:
        OSError, RaydpWrapError: it can't be begun.

    """
    cache = begun.cache
    cache.create()
    if not cache.may_try(begun.plan.key):
        return False
    lock = cache.lock()
    if lock is None:
        return False
    _makers.clear()  # they are gone, or the lock would not be ours
    try:
        cache.clear_making()
        cache.note_try(begun.plan.key)
        _spawn(begun, lock)
    finally:
        os.close(lock)
    return True


def _spawn(begun: Begun, lock: int) -> None:
    from raydp_wrap.model import Launch  # noqa: PLC0415 - once in an archive's life
    from raydp_wrap.process import DEVNULL, Guard  # noqa: PLC0415 - the same

    code = f"import sys; sys.path[:] = {sys.path!r}; from raydp_wrap_spark.faststart.maker import main; main()"
    launch = Launch((sys.executable, "-I", "-c", code), env=environment_of(begun), cwd="/")
    # The request has what may be secret in it (Java's options), and so is no argument and no file.
    request = os.memfd_create("request")
    try:
        os.write(request, json.dumps(request_of(begun)).encode())
        os.lseek(request, 0, os.SEEK_SET)
        guard = Guard.start(
            launch,
            stdin=request,
            stdout=DEVNULL,
            stderr=DEVNULL,
            grace=1.0,
            active_deadline=DEADLINE,
            detached=True,
            containment="tree",
            # Nobody else makes one while anything of this one lives.
            hold=(lock,),
        )
        guard.close()
        _makers.append(guard)
    finally:
        os.close(request)


def request_of(begun: Begun) -> dict[str, Any]:
    """What ``maker.Request`` is made of."""
    plan, shape = begun.plan, begun.plan.shape
    return {
        "directory": str(begun.cache.directory),
        "key": plan.key,
        "limit": begun.limit,
        "java": plan.java,
        "major": plan.build.major,
        "class_path": shape.class_path,
        "options": [*shape.options, *shape.properties],
        "large": shape.large,
    }


def environment_of(begun: Begun) -> dict[str, str]:
    """The environment of BEGUN's maker."""
    return {name: begun.env[name] for name in _NEEDED if name in begun.env}
